import type { Transport } from "./connection.js";

/** After this many links in a row that delivered nothing, a simpler transport is considered. */
const MAX_FAILED = 2;
const UPGRADE_MS = 30_000;
const UPGRADE_MAX_MS = 600_000;

/** Which of the transports (best first) to use, and when to try a better one. Pure. */
export class TransportChoice {
  readonly #transports: readonly Transport[];
  #level = 0;
  #failed = 0;
  /** When to try a better one. */
  upgradeAt = Infinity;
  #upgradeMs = UPGRADE_MS;

  constructor(transports: readonly Transport[]) {
    this.#transports = transports;
  }

  get transport(): Transport {
    return this.#transports[this.#level] ?? "polling";
  }

  /** Whether link after link delivered nothing, and there is a simpler transport. */
  get stuck(): boolean {
    return this.#failed >= MAX_FAILED && this.#level < this.#transports.length - 1;
  }

  /** The next transport worth trying beside the one in use: the best, or the one after `tried`. */
  better(tried?: Transport): Transport | undefined {
    const next = tried === undefined ? 0 : this.#transports.indexOf(tried) + 1;
    return next < this.#level ? this.#transports[next] : undefined;
  }

  /** Records that a link ended; `proven`: it had delivered something. */
  ended(proven: boolean): void {
    this.#failed = proven ? 0 : this.#failed + 1;
  }

  stepDown(): void {
    this.#level++;
    this.#failed = 0;
    this.#upgradeMs = UPGRADE_MS;
  }

  stepUp(transport: Transport): void {
    this.#level = this.#transports.indexOf(transport);
    this.#upgradeMs = UPGRADE_MS;
  }

  /** Call when a link is ready. */
  scheduleUpgrade(now: number): void {
    this.upgradeAt = this.#level > 0 ? now + this.#upgradeMs : Infinity;
  }

  /** Call when no better transport got through. */
  postponeUpgrade(now: number): void {
    this.#upgradeMs = Math.min(UPGRADE_MAX_MS, this.#upgradeMs * 2);
    this.scheduleUpgrade(now);
  }
}
