/**
 * Where steps and the lines between them are drawn: a row each, in an order in which every step comes after those it needs, and
 * lanes side by side for what runs side by side.
 *
 * A lane carries a step's outcome down to the last step that needs it, and is free again from there on.
 */
import type { StepState } from "../../../client/index.js";

/** A line that begins in one lane and ends in another, and whether what it carries is there already. */
export interface Strand {
  readonly from: number;
  readonly to: number;
  readonly done: boolean;
}

export interface TimelineRow {
  readonly step: StepState;
  readonly lane: number;
  /** Lines that come from above and end at this step. */
  readonly arrive: readonly Strand[];
  /** Lines that go past it. */
  readonly pass: readonly Strand[];
  /** The line that leaves downwards, if anything needs this step. */
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

/** What each step needs, as far as it is there. Where no step says anything, they come one after the other. */
function needsOf(steps: readonly StepState[]): Map<string, readonly string[]> {
  const known = new Set(steps.map(({ step_id }) => step_id));
  if (steps.every(({ needs }) => !needs?.length)) {
    return new Map(steps.map(({ step_id }, at) => [step_id, at > 0 ? [steps[at - 1]?.step_id ?? ""] : []]));
  }
  return new Map(
    steps.map(({ step_id, needs = [] }) => [step_id, needs.filter((need) => known.has(need) && need !== step_id)]),
  );
}

/** As they were told, but each after those it needs. Of those that need each other in a circle, one has to be first. */
function ordered(steps: readonly StepState[], needs: ReadonlyMap<string, readonly string[]>): readonly StepState[] {
  const known = new Map(steps.map((step) => [step.step_id, step]));
  const placed = new Set<StepState>();
  const begun = new Set<StepState>();
  const place = (step: StepState) => {
    if (begun.has(step)) return;
    begun.add(step);
    for (const need of needs.get(step.step_id) ?? []) {
      const needed = known.get(need);
      if (needed) place(needed);
    }
    placed.add(step);
  };
  steps.forEach(place);
  return [...placed];
}
