import { makeStyles } from "@fluentui/react-components";
import { memo, useState } from "react";
import type { Snapshot } from "../../../client/index.js";

const useStyles = makeStyles({
  unseen: {
    position: "absolute",
    width: "1px",
    height: "1px",
    margin: "-1px",
    overflow: "hidden",
    clipPath: "inset(50%)",
    whiteSpace: "nowrap",
  },
});

/** Announces results and questions to screen readers, but not thoughts or streamed tokens. */
export const Announcer = memo(function Announcer({ plan }: { readonly plan: Snapshot }) {
  const styles = useStyles();
  const [shown, setShown] = useState<Announced>(() => announced(null, plan));
  const now = announced(shown, plan);
  if (now !== shown) setShown(now);
  return (
    <div role="log" aria-live="polite" aria-label="Updates" className={styles.unseen}>
      {now.lines.map(({ key, text }) => (
        <p key={key}>{text}</p>
      ))}
    </div>
  );
});

export interface Announced {
  /** Everything up to this offset has been announced. */
  readonly upTo: number;
  readonly lines: readonly { readonly key: string; readonly text: string }[];
}

const KEPT = 5;
const LONGEST = 280;

/** The next state; the same object if there is nothing new. What was there initially is not announced. */
export function announced(before: Announced | null, plan: Snapshot): Announced {
  const upTo = lastFinished(plan);
  if (!before) return { upTo, lines: [] };
  const news = [...messages(plan, before.upTo, upTo), ...questions(plan, before.upTo, upTo)].sort(
    (a, b) => a.offset - b.offset,
  );
  if (upTo === before.upTo) return before;
  const lines = [...before.lines, ...news.map(({ key, text }) => ({ key, text }))].slice(-KEPT);
  return { upTo, lines: news.length > 0 ? lines : before.lines };
}

/** The offset before the first message that is still streaming. */
function lastFinished(plan: Snapshot): number {
  const writing = plan.messages.slice(-50).find(({ streaming }) => streaming);
  return writing ? writing.offset - 1 : plan.offset;
}

interface News {
  readonly key: string;
  readonly text: string;
  readonly offset: number;
}

function messages(plan: Snapshot, after: number, upTo: number): readonly News[] {
  return plan.messages
    .slice(-50)
    .filter(({ message_type, offset }) => isAnnounced(message_type) && offset > after && offset <= upTo)
    .map(({ message_id: key, agent_name, content, offset }) => ({
      key,
      offset,
      text: `${agent_name}: ${shortened(content)}`,
    }));
}

function isAnnounced(type: string): boolean {
  return type === "result" || type === "clarification_needed";
}

function questions(plan: Snapshot, after: number, upTo: number): readonly News[] {
  return plan.inputs
    .filter(({ offset, answered_at }) => answered_at === undefined && offset > after && offset <= upTo)
    .map(({ request_id: key, prompt, agent_name, offset }) => ({
      key,
      offset,
      text: `${agent_name ?? "The plan"} asks: ${shortened(prompt)}`,
    }));
}

function shortened(text: string): string {
  return text.length > LONGEST ? `${text.slice(0, LONGEST)}…` : text;
}
