/** Who works on a plan, and what they obey. */
import type { Snapshot, WorkerStatus } from "../../wire/index.js";
import { isPlanEnded } from "./draft.js";

/** The program without an engine that works on the plan. Undefined if there is none, or if it is gone. */
export function workerOf({ worker, status }: Pick<Snapshot, "worker" | "status">): WorkerStatus | undefined {
  const works = worker?.state === "begun" || worker?.state === "alive";
  return works && !isPlanEnded(status) ? worker : undefined;
}

/** Whether the signal would be obeyed: an engine runs the plan, or a program that obeys it works on it. */
export function obeys(plan: Snapshot, signal: WorkerStatus["obeys"][number]): boolean {
  if (isPlanEnded(plan.status)) return false;
  return plan.data?.["template"] !== undefined || workerOf(plan)?.obeys.includes(signal) === true;
}
