/** The part of a step's data that is a result for people. */
import type { StepState } from "../../../client/index.js";
import type { Fields } from "./fields.js";

/** Fields for the engine's own use, and those that the step list shows. */
const NOT_RESULTS = new Set(["restarts", "error", "pause", "signal", "state", "by", "template", "step_id", "stage"]);

const SHOWN = new WeakMap<Fields, Fields | null>();

/** The same object for the same data, so that views need not re-render. */
export function resultIn(data: Fields | undefined): Fields | null {
  if (!data) return null;
  let shown = SHOWN.get(data);
  if (shown === undefined) {
    const fields = Object.entries(data).filter(([name, value]) => !NOT_RESULTS.has(name) && value !== null);
    shown = fields.length > 0 ? Object.fromEntries(fields) : null;
    SHOWN.set(data, shown);
  }
  return shown;
}

export function hasResult(step: StepState): boolean {
  return resultIn(step.data) !== null;
}

/** The error's details for engineers; the step's content describes it for users. */
export function errorIn(data: Fields | undefined): { readonly type: string; readonly traceback: string } | null {
  const error = data?.["error"];
  if (typeof error !== "object" || error === null) return null;
  const { type, traceback, message } = error as Record<string, unknown>;
  return {
    type: typeof type === "string" ? type : "Error",
    traceback: [traceback, message].find((text) => typeof text === "string") ?? "",
  };
}
