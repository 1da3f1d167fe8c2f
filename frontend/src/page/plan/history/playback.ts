/** Playing a plan back: which event is due when. */

export const SPEEDS = [1, 4, 16] as const;
export type Speed = (typeof SPEEDS)[number];

/** Nobody wants to look at nothing for longer than this, at the usual speed. */
const LONGEST_MS = 2_000;

/**
 * How long into the play each event comes, in milliseconds at the usual speed, from the moments they were said at. Never
 * backwards, though clocks may have gone so.
 */
export function schedule(moments: readonly string[]): readonly number[] {
  let due = 0;
  let before = Number.NaN;
  return moments.map((moment) => {
    const at = Date.parse(moment);
    const pause = at - before;
    if (pause > 0) due += Math.min(pause, LONGEST_MS);
    if (!Number.isNaN(at)) before = at;
    return due;
  });
}

/** How many events have come when so much of the play is over: an index into the schedule, from 0 to its length. */
export function playedBy(due: readonly number[], elapsedMs: number): number {
  let low = 0;
  let high = due.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((due[middle] ?? 0) <= elapsedMs) low = middle + 1;
    else high = middle;
  }
  return low;
}
