/** Builders of plans and their parts. */
import type {
  EventFrame,
  MessageState,
  PlanEvent,
  Snapshot,
  StepState,
  ToolCallState,
} from "../../../src/client/index.js";
import { emptySnapshot } from "../../../src/client/index.js";

export const AT = "2026-01-31T12:00:00.000Z";

export function later(seconds: number): string {
  return new Date(Date.parse(AT) + seconds * 1_000).toISOString();
}

export function plan(more: Partial<Snapshot> = {}): Snapshot {
  return { ...emptySnapshot("p"), offset: 1, status: "in_progress", created_at: AT, ...more };
}

export function step(step_id: string, more: Partial<StepState> = {}): StepState {
  return { step_id, offset: 1, status: "pending", attempt: 1, attempts: [], ...more };
}

export function message(offset: number, content: string, more: Partial<MessageState> = {}): MessageState {
  const known = { message_id: `@${offset}`, offset, at: later(offset), content, streaming: false };
  return { ...known, agent_name: "Ann", message_type: "thinking", ...more };
}

export function tool(offset: number, more: Partial<ToolCallState> = {}): ToolCallState {
  const known = { call_id: `c${offset}`, offset, tool_name: "sql", agent_name: "Ann", started_at: later(offset) };
  return { ...known, phase: "completed", ...more };
}

export function frame(offset: number, event: PlanEvent, first?: number): EventFrame {
  const known = { plan_id: "p", epoch: "e", offset, id: `a-${offset}`, ...event } as EventFrame;
  return first === undefined ? known : { ...known, first };
}

export function agentMessage(content: string, seconds = 0, more: object = {}): PlanEvent {
  const data = { plan_id: "p", timestamp: later(seconds), agent_name: "Ann", content, message_type: "result" as const };
  return { type: "agent_message", data: { ...data, ...more } };
}
