/**
 * The fold: what a person sees of a plan, made from its events, one after the other. The same as broadcasters/snapshot.py, whose
 * rules these are (tests/vectors/fold holds both to them).
 *
 * Pure and total, and where a sequence is cut makes no difference. What an event doesn't touch keeps its identity.
 */
import type {
  AgentMessage,
  Artifact,
  InputRequest,
  InputResponse,
  MessageState,
  PlanEvent,
  PlanUpdate,
  Snapshot,
  ToolCall,
  ToolCallState,
} from "../../wire/index.js";
import { Draft, isPlanEnded, WEIGHT_LIMIT, type Mutable } from "./draft.js";
import { pick } from "./parts.js";
import { tellStep } from "./steps.js";

/** The plan before its first event. */
export function emptySnapshot(planId: string): Snapshot {
  const omitted = { messages: 0, tool_calls: 0, artifacts: 0, inputs: 0, attempts: 0 };
  const none = { labels: [], steps: [], messages: [], tool_calls: [], inputs: [], artifacts: [] };
  return { version: 1, plan_id: planId, offset: 0, status: "pending", ...none, omitted, weight: 0 };
}

/**
 * The snapshot after these events of its plan, of which the i-th stands at offset `first + i`. A null only moves the offset:
 * merged tokens that stand for 5 to 7 are `fold(snapshot, 5, [tokens, null, null])`. Offsets the snapshot has already are
 * passed over; a hole before `first` is the caller's mistake.
 */
export function fold(
  snapshot: Snapshot,
  first: number,
  events: Iterable<PlanEvent | null>,
  limit = WEIGHT_LIMIT,
): Snapshot {
  if (first > snapshot.offset + 1) {
    throw new RangeError(`after offset ${snapshot.offset} comes ${snapshot.offset + 1}; first is ${first}, a hole`);
  }
  const draft = new Draft(snapshot, limit);
  let offset = first;
  for (const event of events) {
    if (offset > draft.plan.offset) {
      draft.plan.offset = offset;
      if (event) tellIfFit(draft, event);
    }
    offset++;
  }
  return draft.plan.offset === snapshot.offset ? snapshot : draft.finish();
}

type Teller = (draft: Draft, said: never) => void;

const TELLERS = new Map<string, Teller>(
  Object.entries({
    agent_message: agentMessage,
    step_update: (draft: Draft, said: Parameters<typeof tellStep>[2] & { step_id: string }) =>
      tellStep(draft, said.step_id, said),
    plan_update: planUpdate,
    tool_call: toolCall,
    input_request: inputRequest,
    input_response: inputResponse,
    artifact: artifact,
  }),
);

/** What isn't as the schemas say gets no further than where it failed; the story goes on behind it. */
function tellIfFit(draft: Draft, event: PlanEvent): void {
  try {
    tell(draft, event);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
  }
}

function tell(draft: Draft, event: PlanEvent): void {
  const teller = TELLERS.get(event.type);
  if (!teller) return; // said by newer code
  const { plan } = draft;
  const said = withPlainMoments(event.data);
  plan.updated_at = said.timestamp;
  if (plan.created_at == null) {
    plan.created_at = said.timestamp;
    plan.status = "in_progress";
  }
  teller(draft, said as never);
  draft.lighten();
}

const MOMENTS = ["timestamp", "at", "expires_at"] as const;

/** Moments in UTC with milliseconds. They are so already, unless the log was written past the broadcasters. */
function withPlainMoments<Data extends PlanEvent["data"]>(data: Data): Data {
  let plain: Data & { [Name in (typeof MOMENTS)[number]]?: string } = data;
  for (const name of MOMENTS) {
    const moment = plain[name];
    if (moment == null || (moment.length === 24 && moment.endsWith("Z"))) continue;
    const parsed = Date.parse(moment.toUpperCase());
    if (!Number.isNaN(parsed)) plain = { ...plain, [name]: new Date(parsed).toISOString() };
  }
  return plain;
}

function planUpdate(draft: Draft, said: PlanUpdate): void {
  const { plan } = draft;
  if (said.owner != null) plan.owner = said.owner;
  if (said.labels != null) plan.labels = said.labels;
  if (said.step_id == null) ofPlan(draft, said);
  else tellStep(draft, said.step_id, said);
  if (said.agent_name != null && said.content) {
    const { agent_name, message_type = "action" } = said;
    const line = { ...pick(said, "content", "step_id"), agent_name, message_type, streaming: false };
    const message_id = draft.freeMessageId();
    draft.put(draft.messages, { message_id, offset: plan.offset, at: said.timestamp, ...line, content: said.content });
  }
}

function ofPlan(draft: Draft, said: PlanUpdate): void {
  const { plan } = draft;
  if (said.title != null) plan.title = said.title;
  if (said.content != null) plan.content = said.content;
  if (said.progress != null) plan.progress = said.progress;
  else if (said.status === "completed") plan.progress = 100;
  if (isPlanEnded(said.status)) {
    if (plan.ended_at == null) {
      plan.ended_at = said.timestamp;
      draft.closeMessages();
    }
    if (said.data != null) plan.result = said.data;
  } else {
    plan.ended_at = plan.result = undefined;
    if (said.data != null) plan.data = said.data;
  }
  plan.status = said.status;
}

function agentMessage(draft: Draft, said: AgentMessage): void {
  const id = said.message_id ?? draft.freeMessageId();
  const known = draft.messages.get(id);
  if (known && said.append) append(draft, known, said);
  else draft.put(draft.messages, begunMessage(draft, known, said, id));
}

function begunMessage(draft: Draft, known: MessageState | undefined, said: AgentMessage, id: string): MessageState {
  const moreComes = said.message_id != null && (said.append === true || said.final === false);
  return {
    message_id: id,
    offset: known?.offset ?? draft.plan.offset,
    at: known?.at ?? said.timestamp,
    ...pick(said, "agent_name", "content", "message_type", "step_id", "error", "data"),
    streaming: moreComes && !closes(draft, said),
  };
}

function append(draft: Draft, known: MessageState, said: AgentMessage): void {
  const grown = draft.addText(known, said.content);
  const changes: Partial<Mutable<MessageState>> = {};
  if (said.data != null) changes.data = said.data;
  if (said.error != null) changes.error = said.error;
  if (known.streaming && closes(draft, said)) changes.streaming = false;
  draft.change(draft.messages, grown, changes);
}

function closes(draft: Draft, said: AgentMessage): boolean {
  return said.final === true || said.error != null || draft.ended;
}

function toolCall(draft: Draft, said: ToolCall): void {
  const { phase, timestamp } = said;
  const ended_at = phase === "started" ? undefined : timestamp;
  const known = draft.toolCalls.get(said.call_id);
  if (known) {
    const changes: Partial<Mutable<ToolCallState>> = { phase, ended_at };
    for (const name of ["arguments", "result", "step_id"] as const) {
      if (said[name] != null) Object.assign(changes, { [name]: said[name] });
    }
    draft.change(draft.toolCalls, known, changes);
    return;
  }
  const named = pick(said, "call_id", "tool_name", "agent_name", "phase", "arguments", "result", "step_id");
  draft.put(draft.toolCalls, { ...named, offset: draft.plan.offset, started_at: timestamp, ended_at });
}

function inputRequest(draft: Draft, said: InputRequest): void {
  const known = draft.inputs.get(said.request_id);
  if (known?.answered_at != null) return;
  const asked = pick(said, "request_id", "kind", "prompt", "options", "schema", "step_id", "agent_name", "expires_at");
  draft.inputs.set({ ...asked, offset: known?.offset ?? draft.plan.offset, at: said.timestamp });
}

function inputResponse(draft: Draft, said: InputResponse): void {
  const request = draft.inputs.get(said.request_id);
  if (!request || request.answered_at != null) return;
  const { answer, by, at: answered_at, idempotency_key } = said;
  draft.answer({ ...request, answer, by, answered_at, idempotency_key });
}

function artifact(draft: Draft, said: Artifact): void {
  const offset = draft.artifacts.get(said.artifact_id)?.offset ?? draft.plan.offset;
  const made = pick(said, "artifact_id", "name", "mime_type", "url", "data", "step_id");
  draft.put(draft.artifacts, { ...made, offset, at: said.timestamp });
}
