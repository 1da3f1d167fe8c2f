/** What a step came to, as far as it is for people. */
import type { StepState } from "../../../client/index.js";
import type { Fields } from "./read.js";

/** What the engine tells for its own sake, and what a timeline shows. */
const NOT_RESULTS = new Set(["restarts", "error", "pause", "signal", "state", "by", "template", "step_id", "stage"]);

const SHOWN = new WeakMap<Fields, Fields | null>();

/** The same for the same data, so that what shows it needn't be drawn again. */
export function resultIn(data: Fields | undefined): Fields | null {
  if (!data) return null;
  let shown = SHOWN.get(data);
  if (shown === undefined) {
    const told = Object.entries(data).filter(([name, value]) => !NOT_RESULTS.has(name) && value !== null);
    shown = told.length > 0 ? Object.fromEntries(told) : null;
    SHOWN.set(data, shown);
  }
  return shown;
}

export function hasResult(step: StepState): boolean {
  return resultIn(step.data) !== null;
}

/** What went wrong, for engineers: the rest is said in the step's words. */
export function errorIn(data: Fields | undefined): { readonly type: string; readonly traceback: string } | null {
  const error = data?.["error"];
  if (typeof error !== "object" || error === null) return null;
  const { type, traceback, message } = error as Record<string, unknown>;
  return {
    type: typeof type === "string" ? type : "Error",
    traceback: [traceback, message].find((text) => typeof text === "string") ?? "",
  };
}
