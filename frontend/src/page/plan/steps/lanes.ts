/**
 * Layout of the step graph: one row per step, in topological order, with parallel lanes for parallel branches.
 *
 * A lane leads from a step down to the last step that needs it, and is free after that.
 */
import type { StepState } from "../../../client/index.js";

/** An edge from one lane to another; `done`: its source step has finished. */
export interface Edge {
  readonly from: number;
  readonly to: number;
  readonly done: boolean;
}

export interface TimelineRow {
  readonly step: StepState;
  readonly lane: number;
  /** Edges that end at this step. */
  readonly arrive: readonly Edge[];
  /** Edges that pass it. */
  readonly pass: readonly Edge[];
  /** Whether other steps need this step. */
  readonly leaves: boolean;
}

export interface Timeline {
  readonly rows: readonly TimelineRow[];
  readonly lanes: number;
}

export function timeline(steps: readonly StepState[]): Timeline {
  const needs = needsOf(steps);
  const dependents = new Map<string, number>();
  for (const some of needs.values()) for (const need of some) dependents.set(need, (dependents.get(need) ?? 0) + 1);
  const lanes: (StepState | undefined)[] = [];
  let widest = 0;
  const rows = ordered(steps, needs).map((step) => {
    const row = rowOf(step, new Set(needs.get(step.step_id)), lanes, dependents);
    widest = Math.max(widest, row.lane + 1, lanes.length);
    return row;
  });
  return { rows, lanes: widest };
}

function rowOf(
  step: StepState,
  wanted: ReadonlySet<string>,
  lanes: (StepState | undefined)[],
  dependents: Map<string, number>,
): TimelineRow {
  const above = lanes.flatMap((source, lane) => (source ? [{ source, lane }] : []));
  const coming = above.filter(({ source }) => wanted.has(source.step_id));
  for (const { source, lane } of coming) {
    const left = (dependents.get(source.step_id) ?? 1) - 1;
    dependents.set(source.step_id, left);
    if (left === 0) lanes[lane] = undefined;
  }
  const own = coming.find(({ lane }) => lanes[lane] === undefined)?.lane ?? freeLane(lanes);
  const leaves = (dependents.get(step.step_id) ?? 0) > 0;
  const pass = above.filter(({ source, lane }) => lanes[lane] === source);
  if (leaves) lanes[own] = step;
  while (lanes.length > 0 && lanes.at(-1) === undefined) lanes.pop();
  return {
    step,
    lane: own,
    arrive: coming.map(({ source, lane }) => ({ from: lane, to: own, done: isOver(source) })),
    pass: pass.map(({ source, lane }) => ({ from: lane, to: lane, done: isOver(source) })),
    leaves,
  };
}

function freeLane(lanes: readonly (StepState | undefined)[]): number {
  const free = lanes.indexOf(undefined);
  return free === -1 ? lanes.length : free;
}

function isOver({ status }: StepState): boolean {
  return status === "completed" || status === "skipped";
}

/** The known needs of each step. If no step has any, they are treated as a sequence. */
function needsOf(steps: readonly StepState[]): Map<string, readonly string[]> {
  const known = new Set(steps.map(({ step_id }) => step_id));
  if (steps.every(({ needs }) => !needs?.length)) {
    return new Map(steps.map(({ step_id }, at) => [step_id, at > 0 ? [steps[at - 1]?.step_id ?? ""] : []]));
  }
  return new Map(
    steps.map(({ step_id, needs = [] }) => [step_id, needs.filter((need) => known.has(need) && need !== step_id)]),
  );
}

/** In the given order, but each after those it needs. Cycles are broken at their first step. */
function ordered(steps: readonly StepState[], needs: ReadonlyMap<string, readonly string[]>): readonly StepState[] {
  const known = new Map(steps.map((step) => [step.step_id, step]));
  const sorted = new Set<StepState>();
  const begun = new Set<StepState>();
  const visit = (step: StepState) => {
    if (begun.has(step)) return;
    begun.add(step);
    for (const need of needs.get(step.step_id) ?? []) {
      const needed = known.get(need);
      if (needed) visit(needed);
    }
    sorted.add(step);
  };
  steps.forEach(visit);
  return [...sorted];
}
