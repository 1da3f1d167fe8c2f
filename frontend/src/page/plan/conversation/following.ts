/** Whether the reader follows the conversation's end, or has let go of it to read. Pure. */

export interface Scrolled {
  readonly top: number;
  readonly height: number;
  readonly seen: number;
}

/** Nearer to the end than this is at the end. */
const NEAR = 48;

export function isAtEnd({ top, height, seen }: Scrolled): boolean {
  return height - top - seen <= NEAR;
}

/** Reaching the end takes hold of it; scrolling up lets go; what merely grew below changes nothing. */
export function followsAfter(follows: boolean, before: number, now: Scrolled): boolean {
  if (isAtEnd(now)) return true;
  return follows && now.top >= before - 1;
}
