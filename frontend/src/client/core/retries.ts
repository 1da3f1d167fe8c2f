import type { Connection } from "./connection.js";

const FLOOR_MS = 250;
const FIRST_MS = 500;
const CAP_MS = 20_000;

/** The delay in milliseconds before the n-th attempt in a row, from 0 (K-REC-1). It stays random at the cap, so that clients do not
 * reconnect in step. */
export function backoff(n: number, random: () => number): number {
  return FLOOR_MS + random() * Math.min(CAP_MS, FIRST_MS * 2 ** n);
}

/** After a connection this long, the attempts are counted from zero again (K-REC-1). */
const STABLE_MS = 30_000;

/** The failed attempts in a row, why the last one failed, and when the next is due. Pure. */
export class Retries {
  retryAt = Infinity;
  code = 0;
  reason = "";
  readonly #random: () => number;
  #count = 0;
  #waitMs = 0;

  constructor(random: () => number) {
    this.#random = random;
  }

  reset(): void {
    this.#count = 0;
  }

  failed(code: number, reason: string, lastedMs: number): void {
    this.code = code;
    this.reason = reason;
    if (lastedMs >= STABLE_MS) this.#count = 0;
  }

  /** Schedules the next attempt: after the hub's hint, or with backoff. */
  wait(now: number, hintMs: number | undefined): void {
    this.#waitMs = Math.round(hintMs ?? backoff(this.#count, this.#random));
    this.retryAt = now + this.#waitMs;
    this.#count++;
  }

  describe(online: boolean): Connection {
    const status = online ? "reconnecting" : "offline";
    return { status, attempt: this.#count, inMs: this.#waitMs, retryAt: this.retryAt, reason: this.reason };
  }
}
