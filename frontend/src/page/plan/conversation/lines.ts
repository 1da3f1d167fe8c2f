/** The lines of the conversation: everything that was said, used, asked and made, in the order in which it first came up. */
import type {
  ArtifactState,
  InputState,
  MessageState,
  Snapshot,
  StepState,
  ToolCallState,
} from "../../../client/index.js";
import { hasResult } from "../results/step_result.js";

interface Spoken {
  readonly key: string;
  /** Whose line it is; undefined: the plan's. */
  readonly agent: string | undefined;
  /** Another agent, or a question, came before: the name is shown. */
  readonly head: boolean;
}

export type Line = Spoken &
  (
    | { readonly kind: "message"; readonly part: MessageState }
    | { readonly kind: "tool"; readonly part: ToolCallState }
    | { readonly kind: "input"; readonly part: InputState }
    | { readonly kind: "artifact"; readonly part: ArtifactState }
    | { readonly kind: "result"; readonly part: StepState }
  );

type Part = Line["part"];

interface Placed {
  readonly kind: Line["kind"];
  readonly part: Part;
  readonly agent: string | undefined;
  readonly at: string;
}

export function conversation(plan: Snapshot): readonly Line[] {
  const agents = new Map(plan.steps.map((step) => [step.step_id, step.agent_name]));
  const placed = merged([
    plan.messages.map((part) => ({ kind: "message", part, agent: part.agent_name, at: part.at })),
    plan.tool_calls.map((part) => ({ kind: "tool", part, agent: part.agent_name, at: part.started_at })),
    plan.inputs.map((part) => ({ kind: "input", part, agent: part.agent_name, at: part.at })),
    plan.artifacts.map((part) => ({ kind: "artifact", part, agent: agents.get(part.step_id ?? ""), at: part.at })),
  ]);
  return withHeads(withResults(placed, plan.steps));
}

/** Each is in order already, by the offset of its first mention. */
function merged(sorted: readonly (readonly Placed[])[]): Placed[] {
  const next = sorted.map(() => 0);
  const all: Placed[] = [];
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
    const taken = sorted[first]?.[next[first] ?? 0];
    if (!taken) return all;
    next[first] = (next[first] ?? 0) + 1;
    all.push(taken);
  }
}

/** What a step came to stands where the step ended: a step has no place of its own for that, but a time. */
function withResults(placed: Placed[], steps: readonly StepState[]): readonly Placed[] {
  const results = steps.filter(hasResult).sort((a, b) => timeOf(a).localeCompare(timeOf(b)));
  if (results.length === 0) return placed;
  const all: Placed[] = [];
  let next = 0;
  const add = (before: string | null) => {
    for (let step = results[next]; step && (before === null || timeOf(step) < before); step = results[++next]) {
      all.push({ kind: "result", part: step, agent: step.agent_name, at: timeOf(step) });
    }
  };
  for (const line of placed) {
    add(line.at);
    all.push(line);
  }
  add(null);
  return all;
}

/** While it is under way it stands last. */
function timeOf(step: StepState): string {
  return step.ended_at ?? "9999";
}

function withHeads(placed: readonly Placed[]): readonly Line[] {
  let speaker: string | null = null;
  return placed.map(({ kind, part, agent }) => {
    const head = kind === "input" || kind === "result" || agent !== speaker;
    speaker = kind === "input" || kind === "result" ? null : (agent ?? null);
    return { kind, part, agent, head, key: keyOf(kind, part) } as Line;
  });
}

function keyOf(kind: Line["kind"], part: Part): string {
  if ("message_id" in part) return `message ${part.message_id}`;
  if ("call_id" in part) return `tool ${part.call_id}`;
  if ("request_id" in part) return `input ${part.request_id}`;
  return "artifact_id" in part ? `artifact ${part.artifact_id}` : `${kind} ${part.step_id}`;
}

/** How many lines there are behind the one that was last when the reader let go. */
export function newSince(lines: readonly Line[], lastKey: string | undefined): number {
  if (lastKey === undefined) return 0;
  for (let at = lines.length - 1; at >= 0; at--) if (lines[at]?.key === lastKey) return lines.length - 1 - at;
  return lines.length;
}
