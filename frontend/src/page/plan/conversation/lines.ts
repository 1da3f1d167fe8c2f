/** The rows of the conversation: messages, tool calls, questions, artifacts and results, in order of first appearance. */
import type {
  ArtifactState,
  InputState,
  MessageState,
  Snapshot,
  StepState,
  ToolCallState,
} from "../../../client/index.js";
import { hasResult } from "../results/step_result.js";

interface LineBase {
  readonly key: string;
  /** The agent; undefined: the plan itself. */
  readonly agent: string | undefined;
  /** Whether the agent's name is shown: it differs from the row before. */
  readonly head: boolean;
}

export type Line = LineBase &
  (
    | { readonly kind: "message"; readonly part: MessageState }
    | { readonly kind: "tool"; readonly part: ToolCallState }
    | { readonly kind: "input"; readonly part: InputState }
    | { readonly kind: "artifact"; readonly part: ArtifactState }
    | { readonly kind: "result"; readonly part: StepState }
  );

type Part = Line["part"];

interface Entry {
  readonly kind: Line["kind"];
  readonly part: Part;
  readonly agent: string | undefined;
  readonly at: string;
}

export function conversation(plan: Snapshot): readonly Line[] {
  const agents = new Map(plan.steps.map((step) => [step.step_id, step.agent_name]));
  const entries = merged([
    plan.messages.map((part) => ({ kind: "message", part, agent: part.agent_name, at: part.at })),
    plan.tool_calls.map((part) => ({ kind: "tool", part, agent: part.agent_name, at: part.started_at })),
    plan.inputs.map((part) => ({ kind: "input", part, agent: part.agent_name, at: part.at })),
    plan.artifacts.map((part) => ({ kind: "artifact", part, agent: agents.get(part.step_id ?? ""), at: part.at })),
  ]);
  return withHeads(withResults(entries, plan.steps));
}

/** Merges lists that are each sorted by offset. */
function merged(sorted: readonly (readonly Entry[])[]): Entry[] {
  const next = sorted.map(() => 0);
  const all: Entry[] = [];
  for (;;) {
    let first = -1;
    let offset = Infinity;
    sorted.forEach((some, at) => {
      const candidate = some[next[at] ?? 0];
      if (candidate && candidate.part.offset < offset) {
        first = at;
        offset = candidate.part.offset;
      }
    });
    const entry = sorted[first]?.[next[first] ?? 0];
    if (!entry) return all;
    next[first] = (next[first] ?? 0) + 1;
    all.push(entry);
  }
}

/** Inserts the results of steps by the time they ended, since a result has no offset of its own. */
function withResults(entries: Entry[], steps: readonly StepState[]): readonly Entry[] {
  const results = steps.filter(hasResult).sort((a, b) => timeOf(a).localeCompare(timeOf(b)));
  if (results.length === 0) return entries;
  const all: Entry[] = [];
  let next = 0;
  const add = (before: string | null) => {
    for (let step = results[next]; step && (before === null || timeOf(step) < before); step = results[++next]) {
      all.push({ kind: "result", part: step, agent: step.agent_name, at: timeOf(step) });
    }
  };
  for (const line of entries) {
    add(line.at);
    all.push(line);
  }
  add(null);
  return all;
}

/** A step in progress sorts last. */
function timeOf(step: StepState): string {
  return step.ended_at ?? "9999";
}

function withHeads(entries: readonly Entry[]): readonly Line[] {
  let lastAgent: string | null = null;
  return entries.map(({ kind, part, agent }) => {
    const head = kind === "input" || kind === "result" || agent !== lastAgent;
    lastAgent = kind === "input" || kind === "result" ? null : (agent ?? null);
    return { kind, part, agent, head, key: keyOf(kind, part) } as Line;
  });
}

function keyOf(kind: Line["kind"], part: Part): string {
  if ("message_id" in part) return `message ${part.message_id}`;
  if ("call_id" in part) return `tool ${part.call_id}`;
  if ("request_id" in part) return `input ${part.request_id}`;
  return "artifact_id" in part ? `artifact ${part.artifact_id}` : `${kind} ${part.step_id}`;
}

/** The number of rows after the one with this key. */
export function newSince(lines: readonly Line[], lastKey: string | undefined): number {
  if (lastKey === undefined) return 0;
  for (let at = lines.length - 1; at >= 0; at--) if (lines[at]?.key === lastKey) return lines.length - 1 - at;
  return lines.length;
}
