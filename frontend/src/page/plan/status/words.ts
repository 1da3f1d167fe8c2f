/** Statuses as people say them. */
import type { PlanStatus, Snapshot, StepStatus } from "../../../client/index.js";
import { label } from "../results/read.js";

export const PLAN_WORDS: Readonly<Record<PlanStatus, string>> = {
  pending: "Not started",
  in_progress: "In progress",
  waiting: "Waiting",
  completed: "Completed",
  error: "Failed",
  cancelled: "Cancelled",
};

const STEP_WORDS: Readonly<Record<StepStatus, string>> = {
  pending: "To do",
  in_progress: "In progress",
  waiting: "Waiting for an answer",
  retrying: "Trying again",
  completed: "Done",
  error: "Failed",
  skipped: "Skipped",
  cancelled: "Cancelled",
  stalled: "Stalled",
};

export function planWords(status: PlanStatus): string {
  return worded(PLAN_WORDS, status);
}

export function stepWords(status: StepStatus): string {
  return worded(STEP_WORDS, status);
}

/** Newer hubs may know more; then its own word is the best there is. */
function worded(words: Readonly<Partial<Record<string, string>>>, status: string): string {
  return words[status] ?? label(status);
}

/** Has the plan been asked to pause, or to stop, and said that it heard? */
export function obeyedSignal(plan: Snapshot): "pause" | "cancel" | null {
  if (plan.data?.["state"] !== "acknowledged") return null;
  const signal = plan.data["signal"];
  return signal === "pause" || signal === "cancel" ? signal : null;
}

/** Does it stand still because somebody paused it? */
export function isPaused(plan: Snapshot): boolean {
  return plan.status === "waiting" && obeyedSignal(plan) === "pause";
}

/** How far the plan is, 0 to 100: what it says itself, or else how many of its steps are over. */
export function planProgress(plan: Pick<Snapshot, "progress" | "steps" | "status">): number | undefined {
  if (plan.progress !== undefined) return plan.progress;
  if (plan.status === "completed") return 100;
  if (plan.steps.length === 0) return undefined;
  const over = plan.steps.filter(({ status }) => status === "completed" || status === "skipped").length;
  return Math.round((100 * over) / plan.steps.length);
}

/** What is told to those who listen rather than look: the status, and the progress by quarters. */
export function announcement(plan: Snapshot): string {
  const words = `${plan.title ?? plan.plan_id}: ${planWords(plan.status)}`;
  const quarter = Math.floor((planProgress(plan) ?? 0) / 25) * 25;
  return plan.status === "in_progress" && quarter > 0 ? `${words}, ${quarter} %` : words;
}
