/** What the number of a code alone says (docs/PROTOCOL.md, C-COD-1 and C-COD-2). */

const FINAL = new Set([1000, 1002, 1003, 1007, 1008, 1009]);

/** After a close with this code a client stays away. */
export function isFinalClose(code: number): boolean {
  return FINAL.has(code) || (code >= 4500 && code < 4600);
}

/** A subscription that ended with this code is not asked for again. */
export function isFinalEnding(code: number): boolean {
  return code >= 2400 && code < 2500;
}

export const CLOSED_NORMALLY = 1000;
/** Nobody closed it: the line broke, or never came up. */
export const BROKEN = 1006;
export const TOKEN_EXPIRED = 4440;
export const UNAUTHENTICATED = 4501;
export const CONTINUITY_LOST = 2500;
export const TOKEN_EXPIRED_ENDING = 2501;
