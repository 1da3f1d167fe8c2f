/** Playback: when each event is due. */

export const SPEEDS = [1, 4, 16] as const;
export type Speed = (typeof SPEEDS)[number];

/** The longest pause between two events, at normal speed. */
const LONGEST_MS = 2_000;

/**
 * The playback time of each event in milliseconds, at normal speed, from the events' timestamps. It never decreases, even if
 * the timestamps do.
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

/** The number of events played after this time. */
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
