import type { ConnectedFrame } from "../../wire/index.js";

/** How long before its expiry a token is replaced; a fifth of its lifetime if that is less. */
const REFRESH_AHEAD_MS = 30_000;
const RETRY_MS = 5_000;

/** The token in use, and when to fetch the next one. Pure. */
export class Tokens {
  current: string | undefined;
  /** Whether tokens can be fetched. */
  readonly fetched: boolean;
  /** A token is being fetched. */
  fetching = false;
  refreshAt = Infinity;
  /** The hub's clock minus the local one. */
  #clockOffset = 0;
  #changed = false;

  constructor(token: string | undefined, fetched: boolean) {
    this.current = token;
    this.fetched = fetched;
  }

  due(): number {
    return this.fetched && !this.fetching ? this.refreshAt : Infinity;
  }

  /** Starts a fetch; false if tokens cannot be fetched, or one is being fetched. */
  begin(): boolean {
    const begins = this.fetched && !this.fetching;
    this.fetching ||= begins;
    return begins;
  }

  received(token: string): void {
    this.fetching = false;
    this.#changed ||= token !== this.current;
    this.current = token;
  }

  failed(now: number, waitMs = RETRY_MS): void {
    this.fetching = false;
    this.refreshAt = now + waitMs;
  }

  /** Whether the token changed since the last call. */
  takeChanged(): boolean {
    const changed = this.#changed;
    this.#changed = false;
    return changed;
  }

  connected({ server_time, expires_at }: ConnectedFrame, now: number): void {
    this.#clockOffset = Date.parse(server_time) - now || 0;
    this.setExpiry(expires_at, now);
  }

  /** Sets when the token in use expires, by the hub's clock. */
  setExpiry(at: string | undefined, now: number): void {
    const left = at === undefined ? NaN : Date.parse(at) - this.#clockOffset - now;
    this.refreshAt = Number.isNaN(left) ? Infinity : now + left - Math.min(REFRESH_AHEAD_MS, left / 5);
  }
}
