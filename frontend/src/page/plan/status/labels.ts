/** Labels of statuses, and what they are derived from. */
import type { PlanStatus, Snapshot, StepStatus } from "../../../client/index.js";
import { isPlanEnded } from "../../../client/index.js";
import { label } from "../results/fields.js";

export const PLAN_STATUS_LABELS: Readonly<Record<PlanStatus, string>> = {
  pending: "Not started",
  in_progress: "In progress",
  waiting: "Waiting",
  completed: "Completed",
  error: "Failed",
  cancelled: "Cancelled",
};

const STEP_STATUS_LABELS: Readonly<Record<StepStatus, string>> = {
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

export function planStatusLabel(status: PlanStatus): string {
  return statusLabel(PLAN_STATUS_LABELS, status);
}

export function stepStatusLabel(status: StepStatus): string {
  return statusLabel(STEP_STATUS_LABELS, status);
}

/** The label; for a status of a newer hub, its name. */
function statusLabel(labels: Readonly<Partial<Record<string, string>>>, status: string): string {
  return labels[status] ?? label(status);
}

/** The signal that the plan has acknowledged and not finished: pause or cancel. */
export function acknowledgedSignal(plan: Snapshot): "pause" | "cancel" | null {
  if (plan.data?.["state"] !== "acknowledged") return null;
  const signal = plan.data["signal"];
  return signal === "pause" || signal === "cancel" ? signal : null;
}

/** Whether the program that worked on the plan is gone. */
export function isStalled(plan: Snapshot): boolean {
  return plan.worker?.state === "lost" && !isPlanEnded(plan.status);
}

/** Whether the plan is paused. */
export function isPaused(plan: Snapshot): boolean {
  return plan.status === "waiting" && acknowledgedSignal(plan) === "pause";
}

/** The plan's progress, 0 to 100: its own value, or the share of finished steps. */
export function planProgress(plan: Pick<Snapshot, "progress" | "steps" | "status">): number | undefined {
  if (plan.progress !== undefined) return plan.progress;
  if (plan.status === "completed") return 100;
  if (plan.steps.length === 0) return undefined;
  const over = plan.steps.filter(({ status }) => status === "completed" || status === "skipped").length;
  return Math.round((100 * over) / plan.steps.length);
}

/** The announcement for screen readers: the status, and the progress in quarters. */
export function announcement(plan: Snapshot): string {
  const text = `${plan.title ?? plan.plan_id}: ${planStatusLabel(plan.status)}`;
  const quarter = Math.floor((planProgress(plan) ?? 0) / 25) * 25;
  return plan.status === "in_progress" && quarter > 0 ? `${text}, ${quarter} %` : text;
}
