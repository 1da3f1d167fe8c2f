/**
 * The fold: computes a plan's snapshot from its events. It follows the rules of broadcasters/fold.py; tests/vectors/fold
 * verifies both.
 *
 * Pure and total; how events are divided into calls makes no difference. Parts that an event does not touch keep their identity.
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
  StepUpdate,
  ToolCall,
  ToolCallState,
  WorkerUpdate,
} from "../../wire/index.js";
import { Draft, isPlanEnded, WEIGHT_LIMIT, type Mutable } from "./draft.js";
import { pick, type Parts } from "./parts.js";
import { updateStep } from "./steps.js";
import { countUsage, plus } from "./usage.js";

/**
 * The snapshot of a plan before its first event.
 *
 * @param planId - The plan's id.
 */
export function emptySnapshot(planId: string): Snapshot {
  const omitted = { messages: 0, tool_calls: 0, artifacts: 0, inputs: 0, attempts: 0 };
  const none = { labels: [], steps: [], messages: [], tool_calls: [], inputs: [], artifacts: [] };
  return { version: 1, plan_id: planId, offset: 0, status: "pending", ...none, omitted, weight: 0 };
}

/**
 * Applies events to a snapshot.
 *
 * @param snapshot - The snapshot before; it is not changed.
 * @param first - The offset of the first event. Offsets that the snapshot already contains are skipped.
 * @param events - The events from that offset on. A null only advances the offset: merged tokens of the offsets 5 to 7 are
 * `fold(snapshot, 5, [tokens, null, null])`.
 * @param limit - The limit of the snapshot's weight, in bytes.
 * @returns The snapshot after the events; unchanged parts keep their identity.
 * @throws RangeError if `first` leaves a gap after the snapshot's offset.
 */
export function fold(
  snapshot: Snapshot,
  first: number,
  events: Iterable<PlanEvent | null>,
  limit = WEIGHT_LIMIT,
): Snapshot {
  if (first > snapshot.offset + 1) {
    throw new RangeError(`first must be at most ${snapshot.offset + 1}; got ${first}`);
  }
  const draft = new Draft(snapshot, limit);
  let offset = first;
  for (const event of events) {
    if (offset > draft.plan.offset) {
      draft.plan.offset = offset;
      if (event) applyIfValid(draft, event);
    }
    offset++;
  }
  return draft.plan.offset === snapshot.offset ? snapshot : draft.finish();
}

type Handler = (draft: Draft, data: never) => void;

const HANDLERS = new Map<string, Handler>(
  Object.entries({
    agent_message: agentMessage,
    step_update: stepUpdate,
    plan_update: planUpdate,
    tool_call: toolCall,
    input_request: inputRequest,
    input_response: inputResponse,
    artifact: artifact,
    worker_update: workerUpdate,
  }),
);

/** Applies an event. One that violates the schemas is applied as far as it goes, and the fold continues. */
function applyIfValid(draft: Draft, event: PlanEvent): void {
  try {
    apply(draft, event);
  } catch (error) {
    if (!(error instanceof TypeError || error instanceof SyntaxError)) throw error;
  }
}

function apply(draft: Draft, event: PlanEvent): void {
  const handler = HANDLERS.get(event.type);
  if (!handler) return; // a type of a newer version
  const { plan } = draft;
  const data = withUtcTimes(event.data);
  if (event.type !== "worker_update" || plan.updated_at == null) plan.updated_at = data.timestamp;
  if (plan.created_at == null) {
    plan.created_at = data.timestamp;
    plan.status = "in_progress";
  }
  handler(draft, data as never);
  draft.trim();
}

const TIMES = ["timestamp", "at", "expires_at"] as const;

/** Converts times to UTC with milliseconds. The broadcasters do that already; other writers of a log may not. */
function withUtcTimes<Data extends PlanEvent["data"]>(data: Data): Data {
  let plain: Data & { [Name in (typeof TIMES)[number]]?: string } = data;
  for (const name of TIMES) {
    const moment = plain[name];
    if (moment == null || (moment.length === 24 && moment.endsWith("Z"))) continue;
    const parsed = Date.parse(moment.toUpperCase());
    if (!Number.isNaN(parsed)) plain = { ...plain, [name]: new Date(parsed).toISOString() };
  }
  return plain;
}

function planUpdate(draft: Draft, data: PlanUpdate): void {
  const { plan } = draft;
  if (data.owner != null) plan.owner = data.owner;
  if (data.labels != null) plan.labels = data.labels;
  if (data.step_id == null) ofPlan(draft, data);
  else updateStep(draft, data.step_id, data);
  if (data.agent_name != null && data.content) {
    const { agent_name, message_type = "action" } = data;
    const message = { ...pick(data, "content", "step_id"), agent_name, message_type, streaming: false };
    const message_id = draft.freeMessageId();
    draft.put(draft.messages, {
      message_id,
      offset: plan.offset,
      at: data.timestamp,
      ...message,
      content: data.content,
    });
  }
}

function stepUpdate(draft: Draft, data: StepUpdate): void {
  const { step_id, agent_name, usage } = data;
  updateStep(draft, step_id, data);
  if (usage) countUsage(draft, usage, agent_name ?? draft.steps.get(step_id)?.agent_name, step_id);
}

function ofPlan(draft: Draft, data: PlanUpdate): void {
  const { plan } = draft;
  if (data.title != null) plan.title = data.title;
  if (data.content != null) plan.content = data.content;
  if (data.progress != null) plan.progress = data.progress;
  else if (data.status === "completed") plan.progress = 100;
  if (isPlanEnded(data.status)) {
    if (plan.ended_at == null) {
      plan.ended_at = data.timestamp;
      draft.closeMessages();
    }
    if (data.data != null) plan.result = data.data;
  } else {
    plan.ended_at = plan.result = undefined;
    if (data.data != null) plan.data = data.data;
  }
  plan.status = data.status;
}

function agentMessage(draft: Draft, data: AgentMessage): void {
  const id = data.message_id ?? draft.freeMessageId();
  const known = draft.messages.get(id);
  if (known && data.append) append(draft, known, data);
  else draft.put(draft.messages, newMessage(draft, known, data, id));
  ofPart(draft, draft.messages, id, data, known);
}

function newMessage(draft: Draft, known: MessageState | undefined, data: AgentMessage, id: string): MessageState {
  const continues = data.message_id != null && (data.append === true || data.final === false);
  return {
    message_id: id,
    offset: known?.offset ?? draft.plan.offset,
    at: known?.at ?? data.timestamp,
    ...pick(data, "agent_name", "content", "message_type", "step_id", "error", "data"),
    usage: known?.usage,
    streaming: continues && !closes(draft, data),
  };
}

function append(draft: Draft, known: MessageState, data: AgentMessage): void {
  const grown = draft.addText(known, data.content);
  const changes: Partial<Mutable<MessageState>> = {};
  if (data.data != null) changes.data = data.data;
  if (data.error != null) changes.error = data.error;
  if (known.streaming && closes(draft, data)) changes.streaming = false;
  draft.change(draft.messages, grown, changes);
}

function closes(draft: Draft, data: AgentMessage): boolean {
  return data.final === true || data.error != null || draft.ended;
}

function toolCall(draft: Draft, data: ToolCall): void {
  const { phase, timestamp } = data;
  const ended_at = phase === "started" ? undefined : timestamp;
  const known = draft.toolCalls.get(data.call_id);
  if (known) {
    const changes: Partial<Mutable<ToolCallState>> = { phase, ended_at };
    for (const name of ["arguments", "result", "step_id"] as const) {
      if (data[name] != null) Object.assign(changes, { [name]: data[name] });
    }
    draft.change(draft.toolCalls, known, changes);
  } else {
    const named = pick(data, "call_id", "tool_name", "agent_name", "phase", "arguments", "result", "step_id");
    draft.put(draft.toolCalls, { ...named, offset: draft.plan.offset, started_at: timestamp, ended_at });
  }
  ofPart(draft, draft.toolCalls, data.call_id, data, known);
}

/** Counts the usage of a message or tool call; `known` is its state before the event. */
function ofPart<Part extends MessageState | ToolCallState>(
  draft: Draft,
  parts: Parts<Part>,
  id: string,
  { usage, agent_name, step_id }: AgentMessage | ToolCall,
  known: Part | undefined,
): void {
  const part = parts.get(id);
  if (!usage || !part) return;
  draft.change(parts, part, { usage: plus(part.usage, usage) } as Partial<Part>);
  countUsage(draft, usage, agent_name, step_id ?? known?.step_id);
}

function inputRequest(draft: Draft, data: InputRequest): void {
  const known = draft.inputs.get(data.request_id);
  if (known?.answered_at != null) return;
  const asked = pick(data, "request_id", "kind", "prompt", "options", "schema", "step_id", "agent_name", "expires_at");
  draft.inputs.set({ ...asked, offset: known?.offset ?? draft.plan.offset, at: data.timestamp });
}

function inputResponse(draft: Draft, data: InputResponse): void {
  const request = draft.inputs.get(data.request_id);
  if (!request || request.answered_at != null) return;
  const { answer, by, at: answered_at, idempotency_key } = data;
  draft.answer({ ...request, answer, by, answered_at, idempotency_key });
}

function artifact(draft: Draft, data: Artifact): void {
  const offset = draft.artifacts.get(data.artifact_id)?.offset ?? draft.plan.offset;
  const made = pick(data, "artifact_id", "name", "mime_type", "url", "data", "step_id");
  draft.put(draft.artifacts, { ...made, offset, at: data.timestamp });
}

/** The lease of a worker that gave none, in seconds. */
const MIN_LEASE_S = 1;

function workerUpdate(draft: Draft, data: WorkerUpdate): void {
  const { plan } = draft;
  const { worker_id, state, timestamp } = data;
  if (state === "begun") {
    const { name = worker_id, lease_s = MIN_LEASE_S, obeys = [] } = data;
    const before = plan.worker?.state === "released" ? undefined : plan.worker;
    const signals_after = before?.signals_after ?? plan.offset;
    const times = { since: timestamp, seen_at: timestamp };
    plan.worker = { worker_id, offset: plan.offset, name, state, lease_s, obeys, ...times, signals_after };
  } else if (plan.worker?.worker_id === worker_id && plan.worker.state !== "released") {
    plan.worker = { ...plan.worker, state, ...(state === "lost" ? {} : { seen_at: timestamp }) };
  }
}
