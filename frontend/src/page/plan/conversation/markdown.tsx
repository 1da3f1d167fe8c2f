import { makeStyles } from "@fluentui/react-components";
import { lazy, memo, Suspense, useMemo } from "react";

const Body = lazy(() => import("./markdown_body.js"));

/** Streaming texts longer than this are rendered block by block. */
const LONG = 1_500;

const useStyles = makeStyles({ plain: { whiteSpace: "pre-wrap", overflowWrap: "anywhere" } });

/** Renders an agent's Markdown. HTML in it is shown as text. */
export const Markdown = memo(function Markdown({
  text,
  growing = false,
}: {
  readonly text: string;
  readonly growing?: boolean;
}) {
  const styles = useStyles();
  const parts = useMemo(() => (growing && text.length > LONG ? blocks(text) : [text]), [text, growing]);
  if (isPlain(text)) return <div className={styles.plain}>{text}</div>;
  return (
    <Suspense fallback={<div className={styles.plain}>{text}</div>}>
      {parts.map((part, at) => (
        <Body key={at} text={part} />
      ))}
    </Suspense>
  );
});

/**
 * Splits Markdown into blocks: at blank lines outside of code, before a line that is not indented. Only the last block can
 * still change as text is appended, so the others need not be parsed again.
 */
export function blocks(text: string): readonly string[] {
  const found: string[] = [];
  let current: string[] = [];
  let fence: string | null = null;
  let blank = false;
  for (const line of text.split("\n")) {
    const startsBlock = blank && fence === null && /^[^\s\-*+\d>|]/.test(line);
    if (startsBlock && current.length > 0) {
      found.push(current.join("\n"));
      current = [];
    }
    const mark = /^\s{0,3}(```|~~~)/.exec(line)?.[1];
    if (mark && (fence === null || fence === mark)) fence = fence === null ? mark : null;
    blank = line.trim() === "";
    current.push(line);
  }
  found.push(current.join("\n"));
  return found;
}

/** Whether text contains no Markdown, as most messages do. */
export function isPlain(text: string): boolean {
  return !/[*_`#[\]|<>~\\&]|https?:|www\.|^\s*([-+]|\d+[.)])\s|\n\s*([-+=]|\d+[.)])|@\w+\.|^ {4}|\n {4}/.test(text);
}
