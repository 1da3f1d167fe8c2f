import type { Connection, Transport } from "./connection.js";

/** A line that doesn't show in this time that it carries anything is given up. */
const PROOF_MS = 10_000;
const HEARTBEAT_MS = 25_000;
/** So much longer than a heartbeat may be silence (K-HBT-1: 40 s in all). */
const GRACE_MS = 15_000;
/** The least time that a ping has for its answer: timers of hidden pages are late. */
const ANSWER_MS = 10_000;
/** And when the page was just seen again, or the network changed. */
const TEST_MS = 5_000;

/** What a session knows of one line: how far it came, and whether it still lives. Pure. */
export class LineState {
  readonly id: number;
  readonly transport: Transport;
  /** Something came over it. */
  proven = false;
  /** Plans may be subscribed on it. */
  ready = false;
  readyAt = Infinity;
  /** All that was missed came. */
  caughtUp = false;
  /** When to come back, if the hub said so. */
  hintMs: number | undefined;
  #deadline: number;
  #heardAt: number;
  #heartbeatMs = HEARTBEAT_MS;

  constructor(id: number, transport: Transport, now: number) {
    this.id = id;
    this.transport = transport;
    this.#heardAt = now;
    this.#deadline = now + PROOF_MS;
  }

  heard(now: number): void {
    this.proven = true;
    this.#heardAt = now;
    if (this.ready) this.#deadline = Infinity;
  }

  setReady(now: number): void {
    this.ready = true;
    this.readyAt = now;
    if (this.proven) this.#deadline = Infinity;
  }

  setHeartbeat(seconds: number): void {
    if (seconds > 0) this.#heartbeatMs = seconds * 1000;
  }

  due(): number {
    return this.#deadline < Infinity ? this.#deadline : this.#heardAt + this.#heartbeatMs;
  }

  /** Time passes: it is fine, or asks for a ping, or is dead. */
  check(now: number): "fine" | "ping" | "dead" {
    if (this.#deadline <= now) return "dead";
    if (this.#deadline < Infinity || this.#heardAt + this.#heartbeatMs > now) return "fine";
    this.#deadline = Math.max(this.#heardAt + this.#heartbeatMs + GRACE_MS, now + ANSWER_MS);
    return "ping";
  }

  /** Puts it to the test now: it must be heard of soon. */
  test(now: number): void {
    this.#deadline = Math.min(this.#deadline, now + TEST_MS);
  }

  describe(): Connection {
    const { transport } = this;
    if (!this.ready || !this.proven) return { status: "connecting", transport };
    if (!this.caughtUp) return { status: "catching_up", transport };
    return transport === "polling" ? { status: "polling", transport } : { status: "live", transport };
  }
}
