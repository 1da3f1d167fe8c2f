import { makeStyles, mergeClasses, tokens } from "@fluentui/react-components";
import { memo, useMemo } from "react";
import type { MessageState } from "../../../client/index.js";
import { Pulse } from "../agents/pulse.js";
import { JsonFold } from "../results/json_view.js";
import type { Fields } from "../results/fields.js";
import { SectionsView } from "../results/result_view.js";
import { sectionsBeside } from "../results/sections.js";
import { resultIn } from "../results/step_result.js";
import { Markdown } from "./markdown.js";

const useStyles = makeStyles({
  message: { overflowWrap: "anywhere", lineHeight: tokens.lineHeightBase400 },
  thinking: { color: tokens.colorNeutralForeground3 },
  action: { color: tokens.colorNeutralForeground2 },
  result: {
    padding: `${tokens.spacingVerticalS} ${tokens.spacingHorizontalM}`,
    borderRadius: tokens.borderRadiusLarge,
    backgroundColor: tokens.colorNeutralBackground3,
  },
  question: {
    padding: `${tokens.spacingVerticalS} ${tokens.spacingHorizontalM}`,
    borderRadius: tokens.borderRadiusLarge,
    backgroundColor: tokens.colorStatusWarningBackground1,
  },
  error: {
    marginTop: tokens.spacingVerticalXS,
    color: tokens.colorStatusDangerForeground1,
    fontSize: tokens.fontSizeBase200,
  },
  writing: { display: "inline-flex", marginTop: tokens.spacingVerticalXS, color: tokens.colorNeutralForeground3 },
});

const LOOKS = { thinking: "thinking", action: "action", result: "result", clarification_needed: "question" } as const;

export const MessageRow = memo(function MessageRow({
  message,
  past,
}: {
  readonly message: MessageState;
  readonly past: boolean;
}) {
  const styles = useStyles();
  const data = resultIn(message.data);
  return (
    <div
      className={mergeClasses(styles.message, styles[LOOKS[message.message_type]])}
      data-message={message.message_type}
    >
      <Markdown text={message.content} growing={message.streaming} />
      {message.streaming && !past && (
        <span className={styles.writing}>
          <Pulse />
        </span>
      )}
      {message.error && <div className={styles.error}>Stopped with an error: {message.error}</div>}
      {data && <MessageData message={message.content} data={data} />}
    </div>
  );
});

/** The data of a message: known shapes are rendered, and the rest is folded. */
function MessageData({ message, data }: { readonly message: string; readonly data: Fields }) {
  const sections = useMemo(() => sectionsBeside(message, data), [message, data]);
  const [first] = sections;
  if (sections.length === 1 && first?.kind === "rest") return <JsonFold label="Details" value={first.value} />;
  return <SectionsView sections={sections} />;
}

export const MESSAGE_TYPE_LABELS: Readonly<Record<MessageState["message_type"], string>> = {
  thinking: "Thinking",
  action: "Acting",
  result: "Result",
  clarification_needed: "Question",
};
