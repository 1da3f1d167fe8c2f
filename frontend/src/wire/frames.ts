// Generated from docs/schemas/wire by `npm run generate`. Do not edit: change the models, and regenerate.

/** A message of an agent. With `append`, content is added to the message of that id; `final` closes it. */
export interface AgentMessage {
  readonly plan_id: string;
  readonly timestamp: string;
  readonly agent_name: string;
  readonly content: string;
  readonly message_type: "thinking" | "action" | "result" | "clarification_needed";
  readonly step_id?: string;
  readonly message_id?: string;
  readonly append?: boolean;
  readonly final?: boolean;
  readonly error?: string;
  readonly data?: Readonly<Record<string, unknown>>;
  readonly usage?: Usage;
}

/** A message of an agent. With `append`, content is added to the message of that id; `final` closes it. */
export interface AgentMessageFrame {
  readonly type: "agent_message";
  readonly plan_id: string;
  readonly epoch: string;
  /** Its offset in the log: one more than that of the event before. */
  readonly offset: number;
  /** The frame stands for all events from this offset to `offset`. */
  readonly first?: number;
  /** The id of the event, the same wherever it is received. */
  readonly id: string;
  /** The trace it was published in: a W3C traceparent. */
  readonly trace?: string;
  readonly data: AgentMessage;
}

/** The usage of one model by one agent. Without agent and model: also that of all for which there was no room. */
export interface AgentUsage {
  readonly model?: string;
  readonly input_tokens?: number;
  readonly output_tokens?: number;
  readonly cached_tokens?: number;
  readonly reasoning_tokens?: number;
  readonly requests?: number;
  readonly costs?: Readonly<Record<string, string>>;
  readonly agent_name?: string;
}

/** Something that was made: its url, or itself as data if it is small. */
export interface Artifact {
  readonly plan_id: string;
  readonly timestamp: string;
  readonly artifact_id: string;
  readonly name: string;
  readonly mime_type: string;
  readonly url?: string;
  readonly data?: unknown;
  readonly step_id?: string;
}

/** Something that was made: its url, or itself as data if it is small. */
export interface ArtifactFrame {
  readonly type: "artifact";
  readonly plan_id: string;
  readonly epoch: string;
  /** Its offset in the log: one more than that of the event before. */
  readonly offset: number;
  /** The frame stands for all events from this offset to `offset`. */
  readonly first?: number;
  /** The id of the event, the same wherever it is received. */
  readonly id: string;
  /** The trace it was published in: a W3C traceparent. */
  readonly trace?: string;
  readonly data: Artifact;
}

/** An artifact, in its latest version. */
export interface ArtifactState {
  readonly artifact_id: string;
  readonly offset: number;
  readonly at: string;
  readonly name: string;
  readonly mime_type: string;
  readonly url?: string;
  readonly data?: unknown;
  readonly step_id?: string;
}

/** An earlier attempt at a step. */
export interface AttemptState {
  readonly attempt: number;
  readonly status:
    "pending" | "in_progress" | "waiting" | "retrying" | "completed" | "error" | "skipped" | "cancelled" | "stalled";
  readonly content?: string;
  readonly started_at?: string;
  readonly ended_at: string;
  readonly duration_ms?: number;
}

/** Send a token: as the first frame of a client that can't send a header, or later to replace the token. */
export interface AuthenticateFrame {
  readonly type: "authenticate";
  readonly token: string;
  readonly request_id?: string;
}

/** The token was accepted. */
export interface AuthenticatedFrame {
  readonly type: "authenticated";
  readonly expires_at?: string;
  readonly request_id?: string;
}

/** The first frame of every connection. */
export interface ConnectedFrame {
  readonly type: "connected";
  readonly connection_id: string;
  readonly protocol: number;
  readonly heartbeat_s: number;
  readonly server_time: string;
  readonly expires_at?: string;
}

/** Code of an `error` frame. */
export type ErrorCode =
  | "bad_frame"
  | "unknown_type"
  | "invalid_field"
  | "invalid_plan_id"
  | "unauthenticated"
  | "invalid_token"
  | "token_expired"
  | "forbidden"
  | "too_many_subscriptions"
  | "too_many_requests"
  | "unavailable"
  | "continuity_lost"
  | "plan_deleted"
  | "already_answered"
  | "no_such_request"
  | "request_expired"
  | "invalid_answer"
  | "plan_ended"
  | "not_supported"
  | "internal";

/** The message again, where older front ends look for it. */
export interface ErrorData {
  readonly plan_id?: string;
  readonly error: string;
}

/** A request failed; the connection stays open unless a close follows. */
export interface ErrorFrame {
  readonly type: "error";
  readonly code: ErrorCode;
  readonly message: string;
  readonly plan_id?: string;
  readonly request_id?: string;
  readonly retry_after_ms?: number;
  readonly by?: string;
  readonly at?: string;
  readonly data: ErrorData;
}

/** The hub shuts down; reconnect after this time. */
export interface GoingAwayFrame {
  readonly type: "going_away";
  readonly reconnect_after_ms: number;
}

/** The answer is in the plan's log, at this position. */
export interface InputAcceptedFrame {
  readonly type: "input_accepted";
  readonly plan_id: string;
  readonly request_id: string;
  readonly epoch?: string;
  readonly offset?: number;
}

/** A question to a person. */
export interface InputRequest {
  readonly plan_id: string;
  readonly timestamp: string;
  readonly request_id: string;
  readonly kind: "approval" | "clarification" | "choice";
  readonly prompt: string;
  readonly options?: readonly unknown[];
  readonly schema?: Readonly<Record<string, unknown>>;
  readonly step_id?: string;
  readonly agent_name?: string;
  readonly expires_at?: string;
}

/** A question to a person. */
export interface InputRequestFrame {
  readonly type: "input_request";
  readonly plan_id: string;
  readonly epoch: string;
  /** Its offset in the log: one more than that of the event before. */
  readonly offset: number;
  /** The frame stands for all events from this offset to `offset`. */
  readonly first?: number;
  /** The id of the event, the same wherever it is received. */
  readonly id: string;
  /** The trace it was published in: a W3C traceparent. */
  readonly trace?: string;
  readonly data: InputRequest;
}

/** A person's answer, and the key it was sent with. `answer` may be any JSON; null is omitted. */
export interface InputResponse {
  readonly plan_id: string;
  readonly timestamp: string;
  readonly request_id: string;
  readonly answer?: unknown;
  readonly by?: string;
  readonly at: string;
  readonly idempotency_key?: string;
}

/** A person's answer, and the key it was sent with. `answer` may be any JSON; null is omitted. */
export interface InputResponseFrame {
  readonly type: "input_response";
  readonly plan_id: string;
  readonly epoch: string;
  /** Its offset in the log: one more than that of the event before. */
  readonly offset: number;
  /** The frame stands for all events from this offset to `offset`. */
  readonly first?: number;
  /** The id of the event, the same wherever it is received. */
  readonly id: string;
  /** The trace it was published in: a W3C traceparent. */
  readonly trace?: string;
  readonly data: InputResponse;
}

/** A request for input from a person; pending until it has `answered_at` (the answer itself may be null). */
export interface InputState {
  readonly request_id: string;
  readonly offset: number;
  readonly at: string;
  readonly kind: "approval" | "clarification" | "choice";
  readonly prompt: string;
  readonly options?: readonly unknown[];
  readonly schema?: Readonly<Record<string, unknown>>;
  readonly step_id?: string;
  readonly agent_name?: string;
  readonly expires_at?: string;
  readonly answer?: unknown;
  readonly by?: string;
  readonly answered_at?: string;
  readonly idempotency_key?: string;
}

/** A message of an agent. While `streaming`, text may be added. */
export interface MessageState {
  readonly message_id: string;
  readonly offset: number;
  readonly at: string;
  readonly agent_name: string;
  readonly content: string;
  readonly message_type: "thinking" | "action" | "result" | "clarification_needed";
  readonly step_id?: string;
  readonly streaming: boolean;
  readonly error?: string;
  readonly data?: Readonly<Record<string, unknown>>;
  readonly usage?: UsageSum;
}

/** How many parts were left out to limit the size. The log may still have their events. */
export interface Omitted {
  readonly messages: number;
  readonly tool_calls: number;
  readonly artifacts: number;
  readonly inputs: number;
  readonly attempts: number;
}

/** Check the connection, for clients that can't see WebSocket pings. */
export interface PingFrame {
  readonly type: "ping";
  readonly nonce?: string | number;
}

/** A position in a plan's log: the client has everything up to `offset`. */
export interface Place {
  readonly epoch: string;
  readonly offset: number;
}

/** A person's answer to an `input_request` of a plan; `request_id` is that request's. */
export interface PlanInputFrame {
  readonly type: "plan_input";
  readonly plan_id: string;
  readonly request_id: string;
  readonly answer: unknown;
  readonly idempotency_key?: string;
}

/** Cancel, pause or resume a plan. */
export interface PlanSignalFrame {
  readonly type: "plan_signal";
  readonly plan_id: string;
  readonly signal: "cancel" | "pause" | "resume";
  readonly request_id?: string;
}

/** Progress of the plan. Without a step_id, the status completed, error or cancelled ends the plan. */
export interface PlanUpdate {
  readonly plan_id: string;
  readonly timestamp: string;
  readonly status: "pending" | "in_progress" | "waiting" | "completed" | "error" | "cancelled";
  readonly content?: string;
  readonly step_id?: string;
  readonly agent_name?: string;
  readonly message_type?: "thinking" | "action" | "result" | "clarification_needed";
  readonly title?: string;
  readonly progress?: number;
  readonly owner?: string;
  readonly labels?: readonly string[];
  readonly data?: Readonly<Record<string, unknown>>;
}

/** Progress of the plan. Without a step_id, the status completed, error or cancelled ends the plan. */
export interface PlanUpdateFrame {
  readonly type: "plan_update";
  readonly plan_id: string;
  readonly epoch: string;
  /** Its offset in the log: one more than that of the event before. */
  readonly offset: number;
  /** The frame stands for all events from this offset to `offset`. */
  readonly first?: number;
  /** The id of the event, the same wherever it is received. */
  readonly id: string;
  /** The trace it was published in: a W3C traceparent. */
  readonly trace?: string;
  readonly data: PlanUpdate;
}

/** The reply to a ping. */
export interface PongFrame {
  readonly type: "pong";
  readonly nonce?: string | number;
}

/** The engine received the signal; the plan's events show when it took effect. */
export interface SignalAcceptedFrame {
  readonly type: "signal_accepted";
  readonly plan_id: string;
  readonly signal: "cancel" | "pause" | "resume";
  readonly request_id?: string;
}

/** The state of a plan after its event at `offset`. Steps, messages and the other parts are in the order of their first event, whose offset is the `offset` of the part. */
export interface Snapshot {
  readonly version: 1;
  readonly plan_id: string;
  readonly offset: number;
  readonly status: "pending" | "in_progress" | "waiting" | "completed" | "error" | "cancelled";
  readonly title?: string;
  readonly content?: string;
  readonly progress?: number;
  readonly owner?: string;
  readonly labels: readonly string[];
  readonly created_at?: string;
  readonly updated_at?: string;
  readonly ended_at?: string;
  readonly result?: Readonly<Record<string, unknown>>;
  readonly data?: Readonly<Record<string, unknown>>;
  readonly steps: readonly StepState[];
  readonly messages: readonly MessageState[];
  readonly tool_calls: readonly ToolCallState[];
  readonly inputs: readonly InputState[];
  readonly artifacts: readonly ArtifactState[];
  readonly worker?: WorkerStatus;
  readonly usage?: UsageSum;
  readonly usage_by_agent?: readonly AgentUsage[];
  readonly omitted: Omitted;
  readonly weight: number;
}

/** The folded plan up to a position. It replaces everything that the client had of that plan. */
export interface SnapshotFrame {
  readonly type: "snapshot";
  readonly plan_id: string;
  readonly epoch: string;
  readonly offset: number;
  readonly data: Snapshot;
}

/** A step. Status, content, progress, times and data belong to the current attempt. */
export interface StepState {
  readonly step_id: string;
  readonly offset: number;
  readonly title?: string;
  readonly status:
    "pending" | "in_progress" | "waiting" | "retrying" | "completed" | "error" | "skipped" | "cancelled" | "stalled";
  readonly content?: string;
  readonly progress?: number;
  readonly agent_name?: string;
  readonly needs?: readonly string[];
  readonly attempt: number;
  readonly max_attempts?: number;
  readonly attempts: readonly AttemptState[];
  readonly started_at?: string;
  readonly ended_at?: string;
  readonly duration_ms?: number;
  readonly data?: Readonly<Record<string, unknown>>;
  readonly usage?: UsageSum;
}

/** Progress of one step of the plan. */
export interface StepUpdate {
  readonly plan_id: string;
  readonly timestamp: string;
  readonly step_id: string;
  readonly status:
    "pending" | "in_progress" | "waiting" | "retrying" | "completed" | "error" | "skipped" | "cancelled" | "stalled";
  readonly content?: string;
  readonly agent_name?: string;
  readonly title?: string;
  readonly progress?: number;
  readonly attempt?: number;
  readonly max_attempts?: number;
  readonly needs?: readonly string[];
  readonly data?: Readonly<Record<string, unknown>>;
  readonly usage?: Usage;
}

/** Progress of one step of the plan. */
export interface StepUpdateFrame {
  readonly type: "step_update";
  readonly plan_id: string;
  readonly epoch: string;
  /** Its offset in the log: one more than that of the event before. */
  readonly offset: number;
  /** The frame stands for all events from this offset to `offset`. */
  readonly first?: number;
  /** The id of the event, the same wherever it is received. */
  readonly id: string;
  /** The trace it was published in: a W3C traceparent. */
  readonly trace?: string;
  readonly data: StepUpdate;
}

/** Subscribe to a plan: from now on (without `since`), from its start, from its snapshot, or from a position. */
export interface SubscribePlanFrame {
  readonly type: "subscribe_plan";
  readonly plan_id: string;
  readonly since?: "now" | "start" | "snapshot" | Place;
  readonly request_id?: string;
}

/** The subscription is confirmed: events that follow start after (epoch, offset). */
export interface SubscriptionConfirmedFrame {
  readonly type: "subscription_confirmed";
  readonly plan_id: string;
  readonly epoch: string;
  readonly offset: number;
  readonly head: number;
  readonly recovered: boolean;
  readonly reason?: "trimmed" | "forked" | "ahead" | "epoch";
  readonly request_id?: string;
}

/** The hub ended a subscription; the code says whether to subscribe again. */
export interface SubscriptionEndedFrame {
  readonly type: "subscription_ended";
  readonly plan_id: string;
  readonly code: number;
  readonly reason: string;
}

/** A call of a tool by an agent: when it starts, and when it has ended. */
export interface ToolCall {
  readonly plan_id: string;
  readonly timestamp: string;
  readonly agent_name: string;
  readonly call_id: string;
  readonly tool_name: string;
  readonly phase: "started" | "completed" | "error";
  readonly arguments?: unknown;
  readonly result?: unknown;
  readonly step_id?: string;
  readonly usage?: Usage;
}

/** A call of a tool by an agent: when it starts, and when it has ended. */
export interface ToolCallFrame {
  readonly type: "tool_call";
  readonly plan_id: string;
  readonly epoch: string;
  /** Its offset in the log: one more than that of the event before. */
  readonly offset: number;
  /** The frame stands for all events from this offset to `offset`. */
  readonly first?: number;
  /** The id of the event, the same wherever it is received. */
  readonly id: string;
  /** The trace it was published in: a W3C traceparent. */
  readonly trace?: string;
  readonly data: ToolCall;
}

/** A call of a tool, which has not ended while its phase is `started`. */
export interface ToolCallState {
  readonly call_id: string;
  readonly offset: number;
  readonly tool_name: string;
  readonly agent_name: string;
  readonly phase: "started" | "completed" | "error";
  readonly arguments?: unknown;
  readonly result?: unknown;
  readonly step_id?: string;
  readonly started_at: string;
  readonly ended_at?: string;
  readonly usage?: UsageSum;
}

/** End the subscription to a plan. */
export interface UnsubscribePlanFrame {
  readonly type: "unsubscribe_plan";
  readonly plan_id: string;
  readonly request_id?: string;
}

/** The subscription is removed: no more events of this plan follow. */
export interface UnsubscriptionConfirmedFrame {
  readonly type: "unsubscription_confirmed";
  readonly plan_id: string;
  readonly request_id?: string;
}

/** What was used of a language model, and is reported by no other event: tokens, requests and cost.  Every field is optional; one that is missing is unknown. The cost is what the agent reports: a Decimal, a string or a number, with up to 12 decimal places. `priced` computes it from your own prices.  Example:     usage = Usage(model="gpt-5", input_tokens=1200, output_tokens=80, cost=Decimal("0.0023")) */
export interface Usage {
  readonly model?: string;
  readonly input_tokens?: number;
  readonly output_tokens?: number;
  readonly cached_tokens?: number;
  readonly reasoning_tokens?: number;
  readonly requests?: number;
  readonly cost?: string;
  readonly currency?: string;
}

/** A sum of reported usage. Members that no event reported are missing; the model is the one reported last. */
export interface UsageSum {
  readonly model?: string;
  readonly input_tokens?: number;
  readonly output_tokens?: number;
  readonly cached_tokens?: number;
  readonly reasoning_tokens?: number;
  readonly requests?: number;
  readonly costs?: Readonly<Record<string, string>>;
}

/** The program that works on the plan, or did so last. It does while its state is `begun` or `alive`, the plan has not ended, and `lease_s` seconds have not passed since `seen_at`. */
export interface WorkerStatus {
  readonly worker_id: string;
  readonly offset: number;
  readonly name: string;
  readonly state: "begun" | "alive" | "lost" | "released";
  readonly lease_s: number;
  readonly obeys: readonly ("cancel" | "pause" | "resume")[];
  readonly since: string;
  readonly seen_at: string;
  readonly signals_after: number;
}

/** Who works on the plan, until when that holds without a further sign of life, and which signals it obeys. */
export interface WorkerUpdate {
  readonly plan_id: string;
  readonly timestamp: string;
  readonly worker_id: string;
  readonly state: "begun" | "alive" | "lost" | "released";
  readonly name?: string;
  readonly lease_s?: number;
  readonly obeys?: readonly ("cancel" | "pause" | "resume")[];
}

/** Who works on the plan, until when that holds without a further sign of life, and which signals it obeys. */
export interface WorkerUpdateFrame {
  readonly type: "worker_update";
  readonly plan_id: string;
  readonly epoch: string;
  /** Its offset in the log: one more than that of the event before. */
  readonly offset: number;
  /** The frame stands for all events from this offset to `offset`. */
  readonly first?: number;
  /** The id of the event, the same wherever it is received. */
  readonly id: string;
  /** The trace it was published in: a W3C traceparent. */
  readonly trace?: string;
  readonly data: WorkerUpdate;
}

/** A frame that a client may send on the socket. */
export type ClientFrame =
  AuthenticateFrame | PingFrame | PlanInputFrame | PlanSignalFrame | SubscribePlanFrame | UnsubscribePlanFrame;

/** An event of a plan, with its position in the plan's log. */
export type EventFrame =
  | AgentMessageFrame
  | ArtifactFrame
  | InputRequestFrame
  | InputResponseFrame
  | PlanUpdateFrame
  | StepUpdateFrame
  | ToolCallFrame
  | WorkerUpdateFrame;

/** A frame that a hub sends, other than an event. */
export type ControlFrame =
  | AuthenticatedFrame
  | ConnectedFrame
  | ErrorFrame
  | GoingAwayFrame
  | InputAcceptedFrame
  | PongFrame
  | SignalAcceptedFrame
  | SnapshotFrame
  | SubscriptionConfirmedFrame
  | SubscriptionEndedFrame
  | UnsubscriptionConfirmedFrame;
