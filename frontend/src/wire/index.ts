/** What hub and client say to each other, and what a plan is folded into: types only. */
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

type Said<Frame> = Frame extends { readonly type: infer Type; readonly data: infer Data }
  ? { readonly type: Type; readonly data: Data }
  : never;

/** One thing said about a plan, wherever it stands. */
export type PlanEvent = Said<EventFrame>;
export type EventType = EventFrame["type"];
export type PlanStatus = Snapshot["status"];
export type StepStatus = StepState["status"];
export type MessageType = AgentMessage["message_type"];
export type ToolPhase = ToolCall["phase"];
export type InputKind = InputRequest["kind"];
export type SignalName = PlanSignalFrame["signal"];
