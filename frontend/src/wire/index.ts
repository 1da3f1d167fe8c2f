/** Types of the wire protocol: frames, events and snapshots. */
import type {
  AgentMessage,
  EventFrame,
  InputRequest,
  PlanSignalFrame,
  Snapshot,
  StepState,
  ToolCall,
} from "./frames.js";

export type * from "./frames.js";

type EventOf<Frame> = Frame extends { readonly type: infer Type; readonly data: infer Data }
  ? { readonly type: Type; readonly data: Data }
  : never;

/** An event of a plan, without its position. */
export type PlanEvent = EventOf<EventFrame>;
export type EventType = EventFrame["type"];
export type PlanStatus = Snapshot["status"];
export type StepStatus = StepState["status"];
export type MessageType = AgentMessage["message_type"];
export type ToolPhase = ToolCall["phase"];
export type InputKind = InputRequest["kind"];
export type SignalName = PlanSignalFrame["signal"];
