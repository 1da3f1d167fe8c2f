/** Close codes and subscription end codes, and what a client does for each range (docs/PROTOCOL.md, C-COD-1 and C-COD-2). */

const FINAL = new Set([1000, 1002, 1003, 1007, 1008, 1009]);

/** Whether the client must not reconnect after a close with this code. */
export function isFinalClose(code: number): boolean {
  return FINAL.has(code) || (code >= 4500 && code < 4600);
}

/** Whether the client must not resubscribe after a subscription ended with this code. */
export function isFinalEnding(code: number): boolean {
  return code >= 2400 && code < 2500;
}

export const CLOSED_NORMALLY = 1000;
/** No close frame was received: the connection broke, or was never established. */
export const BROKEN = 1006;
export const TOKEN_EXPIRED = 4440;
export const UNAUTHENTICATED = 4501;
export const CONTINUITY_LOST = 2500;
export const TOKEN_EXPIRED_ENDING = 2501;
