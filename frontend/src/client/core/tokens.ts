import type { ConnectedFrame } from "../../wire/index.js";

/** A token is replaced so long before its end, or a fifth of its life before it if that is less. */
const AHEAD_MS = 30_000;
const AGAIN_MS = 5_000;

/** The token in use, and when a fresher one is to be had. Pure. */
export class Tokens {
  current: string | undefined;
  /** Whether fresh ones can be fetched. */
  readonly fetched: boolean;
  /** One is being fetched. */
  underWay = false;
  refreshAt = Infinity;
  /** The hub's clock less ours. */
  #ahead = 0;
  #anew = false;

  constructor(token: string | undefined, fetched: boolean) {
    this.current = token;
    this.fetched = fetched;
  }

  due(): number {
    return this.fetched && !this.underWay ? this.refreshAt : Infinity;
  }

  /** Whether one is to be fetched now. */
  begin(): boolean {
    const begins = this.fetched && !this.underWay;
    this.underWay ||= begins;
    return begins;
  }

  came(token: string): void {
    this.underWay = false;
    this.#anew ||= token !== this.current;
    this.current = token;
  }

  failed(now: number, waitMs = AGAIN_MS): void {
    this.underWay = false;
    this.refreshAt = now + waitMs;
  }

  /** Whether the hub has taken another token than before; asked once for each. */
  takenAnew(): boolean {
    const anew = this.#anew;
    this.#anew = false;
    return anew;
  }

  connected({ server_time, expires_at }: ConnectedFrame, now: number): void {
    this.#ahead = Date.parse(server_time) - now || 0;
    this.setExpiry(expires_at, now);
  }

  /** When the token in use ends, by the hub's clock. */
  setExpiry(at: string | undefined, now: number): void {
    const left = at === undefined ? NaN : Date.parse(at) - this.#ahead - now;
    this.refreshAt = Number.isNaN(left) ? Infinity : now + left - Math.min(AHEAD_MS, left / 5);
  }
}
