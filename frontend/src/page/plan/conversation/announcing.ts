/** What is told to those who listen rather than look. Pure. */
import type { Snapshot } from "../../../client/index.js";

export interface Announced {
  /** Everything that began after this offset and is finished by now was told. */
  readonly upTo: number;
  readonly lines: readonly { readonly key: string; readonly text: string }[];
}

const KEPT = 5;
const LONGEST = 280;

/** The next state; the same one when there is nothing new. What was there at first is not told. */
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

/** Up to the first message that is still written, in the order in which they began. */
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
    .filter(({ message_type, offset }) => isTold(message_type) && offset > after && offset <= upTo)
    .map(({ message_id: key, agent_name, content, offset }) => ({
      key,
      offset,
      text: `${agent_name}: ${shortened(content)}`,
    }));
}

function isTold(type: string): boolean {
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
