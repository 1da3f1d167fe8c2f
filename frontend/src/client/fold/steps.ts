/**
 * What is said of a step, folded.
 *
 * The first word about a step begins it. Title, needs and agent stay until said anew. A higher attempt, a bare `retrying`, or
 * going on after the end opens a new attempt with a clean sheet; the one before goes to `attempts`. What is said of a lower
 * attempt than the running one comes too late.
 */
import type { AttemptState, PlanUpdate, StepState, StepStatus, StepUpdate } from "../../wire/index.js";
import type { Draft, Mutable } from "./draft.js";
import { pick } from "./parts.js";

const MAX_ATTEMPTS = 16;
const KEPT = ["title", "content", "progress", "agent_name", "data", "max_attempts", "needs"] as const;

/** What both kinds of updates may say; the last three only a step_update. */
type SaidOfStep = (StepUpdate | PlanUpdate) & Pick<StepUpdate, "attempt" | "max_attempts" | "needs">;

export function tellStep(draft: Draft, stepId: string, said: SaidOfStep): void {
  const number = said.attempt;
  let step: StepState = draft.steps.get(stepId) ?? begun(stepId, draft.plan.offset, number);
  if (comesTooLate(step, said.status, number)) return;
  if (opensAttempt(step, said.status, number)) step = nextAttempt(draft, step, number, said.timestamp);
  draft.steps.set(withSaid(step, said));
}

function begun(stepId: string, offset: number, attempt = 1): StepState {
  return { step_id: stepId, offset, status: "pending", attempt, attempts: [] };
}

function hasEnded(status: StepStatus): boolean {
  return status === "completed" || status === "error" || status === "skipped" || status === "cancelled";
}

function comesTooLate(step: StepState, status: StepStatus, number: number | undefined): boolean {
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
  if (step.status !== "pending") attempts = [...attempts, closedAttempt(step, at)];
  if (attempts.length > MAX_ATTEMPTS) {
    attempts = attempts.slice(1);
    draft.countOmitted("attempts");
  }
  const kept = pick(step, "step_id", "offset", "title", "agent_name", "needs", "max_attempts");
  return { ...kept, status: "pending", attempt: number ?? step.attempt + 1, attempts };
}

function closedAttempt(step: StepState, at: string): AttemptState {
  const { attempt, content, started_at, ended_at = at } = step;
  // Another attempt was needed, so this one failed, even if nobody said so.
  const status = hasEnded(step.status) || step.status === "stalled" ? step.status : "error";
  return { attempt, status, content, started_at, ended_at, duration_ms: duration(started_at, ended_at) };
}

function withSaid(step: StepState, said: SaidOfStep): StepState {
  const changed: Mutable<StepState> = { ...step, status: said.status };
  for (const name of KEPT) if (said[name] != null) Object.assign(changed, { [name]: said[name] });
  if (said.progress == null && said.status === "completed") changed.progress = 100;
  if (hasEnded(said.status)) {
    changed.ended_at ??= said.timestamp;
    changed.duration_ms = duration(changed.started_at, changed.ended_at);
  } else {
    if (said.status !== "pending") changed.started_at ??= said.timestamp;
    changed.ended_at = changed.duration_ms = undefined;
  }
  return changed;
}

/** Whole milliseconds; 0 when the clocks of two machines make it look negative. */
function duration(startedAt: string | undefined, endedAt: string): number | undefined {
  return startedAt == null ? undefined : Math.max(0, Date.parse(endedAt) - Date.parse(startedAt));
}
