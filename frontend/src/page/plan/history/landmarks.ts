/** Notable events of a plan's history, marked above the slider. */
import type { EventFrame } from "../../../client/index.js";

export interface Landmark {
  readonly offset: number;
  readonly kind: "step" | "trouble" | "question" | "end";
  readonly text: string;
}

export function landmark(event: EventFrame, offset: number): Landmark | null {
  switch (event.type) {
    case "step_update":
      return stepMark(event.data.status, event.data.title ?? event.data.step_id, offset);
    case "input_request":
      return { offset, kind: "question", text: event.data.prompt };
    case "plan_update":
      return planMark(event.data.step_id === undefined, event.data.status, offset);
    default:
      return null;
  }
}

function stepMark(status: string, name: string, offset: number): Landmark | null {
  if (status === "completed") return { offset, kind: "step", text: `Done: ${name}` };
  if (status === "error" || status === "retrying" || status === "stalled") {
    return { offset, kind: "trouble", text: `${status === "error" ? "Failed" : "Trouble"}: ${name}` };
  }
  return null;
}

function planMark(isOfPlan: boolean, status: string, offset: number): Landmark | null {
  const ended = status === "completed" || status === "error" || status === "cancelled";
  return isOfPlan && ended ? { offset, kind: "end", text: `The plan ended: ${status}` } : null;
}
