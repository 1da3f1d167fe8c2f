import { makeStyles } from "@fluentui/react-components";
import { lazy, memo, Suspense, useMemo } from "react";
import { blocks, isPlain } from "./blocks.js";

const Body = lazy(() => import("./markdown_body.js"));

/** Longer texts that are still written are drawn block by block. */
const LONG = 1_500;

const useStyles = makeStyles({ plain: { whiteSpace: "pre-wrap", overflowWrap: "anywhere" } });

/** What an agent wrote, as it meant it. Never as HTML: that is shown as the text it is. */
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
