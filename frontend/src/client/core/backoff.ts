const FLOOR_MS = 250;
const FIRST_MS = 500;
const CAP_MS = 20_000;

/** How long to wait before the n-th try in a row, from 0 (K-REC-1). The randomness stays at the cap, so that clients don't meet there. */
export function backoff(n: number, random: () => number): number {
  return FLOOR_MS + random() * Math.min(CAP_MS, FIRST_MS * 2 ** n);
}
