/** What agents are doing at this moment. */
import { isPlanEnded, type MessageState, type Snapshot } from "../../../client/index.js";
import { isPaused } from "../status/words.js";

export type Doing = "thinking" | "acting" | "working";

export interface Activity {
  readonly agent: string;
  readonly doing: Doing;
}

export const DOING_WORDS: Readonly<Record<Doing, string>> = {
  thinking: "Thinking…",
  acting: "Acting…",
  working: "Working…",
};

/** Who looks back further than this at what was said last looks too far. */
const NEWEST = 200;

/**
 * One line for each agent that is at work, in the order of their names: those whose step is under way, whose tool is in use, or
 * who are in the middle of a sentence.
 */
export function activities(plan: Snapshot): readonly Activity[] {
  if (standsStill(plan)) return [];
  const doing = new Map<string, Doing>();
  for (const step of plan.steps) {
    if (step.agent_name && (step.status === "in_progress" || step.status === "retrying"))
      doing.set(step.agent_name, "working");
  }
  const lastSaid = new Map<string, MessageState>();
  for (const message of plan.messages.slice(-NEWEST)) lastSaid.set(message.agent_name, message);
  for (const [agent, message] of lastSaid) {
    const said = doingOf(message);
    const since = plan.messages.at(-1) === message || message.streaming || doing.has(agent);
    if (said && since && !isStepOver(plan, message.step_id)) doing.set(agent, said);
  }
  for (const call of plan.tool_calls.slice(-NEWEST)) if (call.phase === "started") doing.set(call.agent_name, "acting");
  return [...doing].map(([agent, what]) => ({ agent, doing: what })).sort((a, b) => a.agent.localeCompare(b.agent));
}

function standsStill(plan: Snapshot): boolean {
  return isPlanEnded(plan.status) || isPaused(plan);
}

function doingOf({ message_type, streaming, data }: MessageState): Doing | null {
  if (data?.["signal"] !== undefined) return null; // somebody who steers the plan, and works on none
  if (message_type === "thinking") return "thinking";
  if (message_type === "action") return "acting";
  return streaming ? "working" : null;
}

function isStepOver(plan: Snapshot, stepId: string | undefined): boolean {
  const status = plan.steps.find(({ step_id }) => step_id === stepId)?.status;
  return status !== undefined && status !== "in_progress" && status !== "retrying";
}

export function sameActivities(one: readonly Activity[], other: readonly Activity[]): boolean {
  return (
    one.length === other.length &&
    one.every(({ agent, doing }, at) => agent === other[at]?.agent && doing === other[at].doing)
  );
}
