import { backoff } from "./backoff.js";
import type { Connection } from "./connection.js";

/** A connection that lasted so long was a good one: the tries are counted anew (K-REC-1). */
const LASTED_MS = 30_000;

/** The tries in a row, why the last one failed, and when the next is due. Pure. */
export class Tries {
  retryAt = Infinity;
  code = 0;
  reason = "";
  readonly #random: () => number;
  #count = 0;
  #waitMs = 0;

  constructor(random: () => number) {
    this.#random = random;
  }

  startOver(): void {
    this.#count = 0;
  }

  failed(code: number, reason: string, lastedMs: number): void {
    this.code = code;
    this.reason = reason;
    if (lastedMs >= LASTED_MS) this.#count = 0;
  }

  /** Waits as the hub says, or as is usual. */
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
