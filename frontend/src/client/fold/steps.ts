/**
 * Folds updates of a step.
 *
 * The first update of a step creates it. Title, needs and agent stay until an update changes them. An update with usage names
 * the agent that used it, which becomes the step's only if the step has none. A higher attempt, a `retrying` without an
 * attempt, or an update after the end starts a new attempt, and the previous one moves to `attempts`. Updates of an attempt
 * lower than the current one are ignored.
 */
import type { AttemptState, PlanUpdate, StepState, StepStatus, StepUpdate } from "../../wire/index.js";
import type { Draft, Mutable } from "./draft.js";
import { pick } from "./parts.js";

const MAX_ATTEMPTS = 16;
const KEPT = ["title", "content", "progress", "agent_name", "data", "max_attempts", "needs"] as const;

/** The fields that both kinds of updates have; only a step_update has the last four. */
type StepChange = (StepUpdate | PlanUpdate) & Pick<StepUpdate, "attempt" | "max_attempts" | "needs" | "usage">;

export function updateStep(draft: Draft, stepId: string, data: StepChange): void {
  const number = data.attempt;
  let step: StepState = draft.steps.get(stepId) ?? newStep(stepId, draft.plan.offset, number);
  if (isStale(step, data.status, number)) return;
  if (opensAttempt(step, data.status, number)) step = nextAttempt(draft, step, number, data.timestamp);
  draft.steps.set(withChange(step, data));
}

function newStep(stepId: string, offset: number, attempt = 1): StepState {
  return { step_id: stepId, offset, status: "pending", attempt, attempts: [] };
}

function hasEnded(status: StepStatus): boolean {
  return status === "completed" || status === "error" || status === "skipped" || status === "cancelled";
}

function isStale(step: StepState, status: StepStatus, number: number | undefined): boolean {
  if (number == null || number >= step.attempt) return false;
  return !hasEnded(step.status) || hasEnded(status);
}

function opensAttempt(step: StepState, status: StepStatus, number: number | undefined): boolean {
  if (number != null && number > step.attempt) return true;
  if (status === "retrying") return number == null && step.status !== "pending" && step.status !== "retrying";
  return hasEnded(step.status) && !hasEnded(status);
}

function nextAttempt(draft: Draft, step: StepState, number: number | undefined, at: string): StepState {
  let attempts = step.attempts;
  if (step.status !== "pending") attempts = [...attempts, endedAttempt(step, at)];
  if (attempts.length > MAX_ATTEMPTS) {
    attempts = attempts.slice(1);
    draft.countOmitted("attempts");
  }
  const kept = pick(step, "step_id", "offset", "title", "agent_name", "needs", "max_attempts", "usage");
  return { ...kept, status: "pending", attempt: number ?? step.attempt + 1, attempts };
}

function endedAttempt(step: StepState, at: string): AttemptState {
  const { attempt, content, started_at, ended_at = at } = step;
  // Another attempt was needed, so this one failed, even if no event reported it.
  const status = hasEnded(step.status) || step.status === "stalled" ? step.status : "error";
  return { attempt, status, content, started_at, ended_at, duration_ms: duration(started_at, ended_at) };
}

function withChange(step: StepState, data: StepChange): StepState {
  const changed: Mutable<StepState> = { ...step, status: data.status };
  for (const name of KEPT) if (data[name] != null) Object.assign(changed, { [name]: data[name] });
  if (data.usage) changed.agent_name = step.agent_name ?? changed.agent_name;
  if (data.progress == null && data.status === "completed") changed.progress = 100;
  if (hasEnded(data.status)) {
    changed.ended_at ??= data.timestamp;
    changed.duration_ms = duration(changed.started_at, changed.ended_at);
  } else {
    if (data.status !== "pending") changed.started_at ??= data.timestamp;
    changed.ended_at = changed.duration_ms = undefined;
  }
  return changed;
}

/** In milliseconds; 0 if the clocks of two machines make it negative. */
function duration(startedAt: string | undefined, endedAt: string): number | undefined {
  return startedAt == null ? undefined : Math.max(0, Date.parse(endedAt) - Date.parse(startedAt));
}
