import type { Transport } from "./connection.js";

/** After so many lines in a row that never carried anything, a plainer transport is thought of. */
const UNOPENED = 2;
const CLIMB_MS = 30_000;
const CLIMB_MOST_MS = 600_000;

/** Which transport to use, of those there are, best first; and when to try a better one. Pure. */
export class Ladder {
  readonly #transports: readonly Transport[];
  #level = 0;
  #unopened = 0;
  /** When to try a better one. */
  climbAt = Infinity;
  #climbMs = CLIMB_MS;

  constructor(transports: readonly Transport[]) {
    this.#transports = transports;
  }

  get transport(): Transport {
    return this.#transports[this.#level] ?? "polling";
  }

  /** Line after line never carried anything, and there is something plainer. */
  get stuck(): boolean {
    return this.#unopened >= UNOPENED && this.#level < this.#transports.length - 1;
  }

  /** The next transport worth trying beside the one in use: the best, or that after `tried`. */
  better(tried?: Transport): Transport | undefined {
    const next = tried === undefined ? 0 : this.#transports.indexOf(tried) + 1;
    return next < this.#level ? this.#transports[next] : undefined;
  }

  /** A line came to its end; `proven`: it had carried something. */
  ended(proven: boolean): void {
    this.#unopened = proven ? 0 : this.#unopened + 1;
  }

  stepDown(): void {
    this.#level++;
    this.#unopened = 0;
    this.#climbMs = CLIMB_MS;
  }

  stepUp(transport: Transport): void {
    this.#level = this.#transports.indexOf(transport);
    this.#climbMs = CLIMB_MS;
  }

  /** A line of the transport in use is there. */
  climbLater(now: number): void {
    this.climbAt = this.#level > 0 ? now + this.#climbMs : Infinity;
  }

  /** Nothing better gets through yet. */
  climbMuchLater(now: number): void {
    this.#climbMs = Math.min(CLIMB_MOST_MS, this.#climbMs * 2);
    this.climbLater(now);
  }
}
