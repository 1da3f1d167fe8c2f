import type { ClientFrame } from "../../wire/index.js";
import { CLOSED_NORMALLY } from "./codes.js";
import type { Connection, Transport } from "./connection.js";
import type { Effect } from "./effects.js";

/** A link that delivers nothing within this time is given up. */
const PROOF_MS = 10_000;
const HEARTBEAT_MS = 25_000;
/** How much longer than a heartbeat a link may be silent (K-HBT-1: 40 s in all). */
const GRACE_MS = 15_000;
/** The least time allowed for the answer to a ping: timers of hidden pages fire late. */
const ANSWER_MS = 10_000;
/** The same right after the page became visible or the network changed. */
const TEST_MS = 5_000;

/** The state of one link: how far its setup got, and whether it is still open. Pure. */
export class LinkState {
  readonly id: number;
  readonly transport: Transport;
  /** Something was received over it. */
  proven = false;
  /** Plans may be subscribed on it. */
  ready = false;
  readyAt = Infinity;
  /** All missed events were received. */
  caughtUp = false;
  /** The reconnect delay that the hub sent, if any. */
  hintMs: number | undefined;
  #deadline: number;
  #receivedAt: number;
  #heartbeatMs = HEARTBEAT_MS;

  constructor(id: number, transport: Transport, now: number) {
    this.id = id;
    this.transport = transport;
    this.#receivedAt = now;
    this.#deadline = now + PROOF_MS;
  }

  received(now: number): void {
    this.proven = true;
    this.#receivedAt = now;
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
    return this.#deadline < Infinity ? this.#deadline : this.#receivedAt + this.#heartbeatMs;
  }

  /** Checks the deadlines: the link is fine, needs a ping, or is dead. */
  check(now: number): "fine" | "ping" | "dead" {
    if (this.#deadline <= now) return "dead";
    if (this.#deadline < Infinity || this.#receivedAt + this.#heartbeatMs > now) return "fine";
    this.#deadline = Math.max(this.#receivedAt + this.#heartbeatMs + GRACE_MS, now + ANSWER_MS);
    return "ping";
  }

  /** Requires something to be received soon. */
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

/** The link in use, and a better one that is tried beside it. Pure: effects go to `out`. */
export class Links {
  /** The request id of `authenticate` frames, which identifies their responses. */
  static readonly AUTHENTICATION = "authentication";
  current: LinkState | null = null;
  candidate: LinkState | null = null;
  readonly #out: (effect: Effect) => void;
  #count = 0;

  constructor(out: (effect: Effect) => void) {
    this.#out = out;
  }

  /** The link in use, if plans may be subscribed on it. */
  get ready(): LinkState | null {
    return this.current?.ready ? this.current : null;
  }

  of(id: number): LinkState | null {
    if (this.current?.id === id) return this.current;
    return this.candidate?.id === id ? this.candidate : null;
  }

  due(): number {
    return Math.min(this.current?.due() ?? Infinity, this.candidate?.due() ?? Infinity);
  }

  open(transport: Transport, token: string | undefined, now: number): LinkState {
    const link = new LinkState(++this.#count, transport, now);
    this.#out({ do: "open", link: link.id, transport, token });
    return link;
  }

  send(frame: ClientFrame, link = this.current): void {
    if (link) this.#out({ do: "send", link: link.id, frame });
  }

  authenticate(token: string | undefined, link = this.current): void {
    if (token) this.send({ type: "authenticate", token, request_id: Links.AUTHENTICATION }, link);
  }

  /** Pings over the link in use; it must answer soon. */
  test(now: number): void {
    this.current?.test(now);
    this.send({ type: "ping" });
  }

  /** Replaces the link in use with the candidate. */
  promote(reason: string): void {
    const link = this.candidate;
    this.candidate = null;
    this.closeAll(reason);
    this.current = link;
  }

  dropCandidate(reason: string): void {
    this.#close(this.candidate, reason);
    this.candidate = null;
  }

  closeAll(reason: string): void {
    this.dropCandidate(reason);
    this.#close(this.current, reason);
    this.current = null;
  }

  #close(link: LinkState | null, reason: string): void {
    if (link) this.#out({ do: "close", link: link.id, code: CLOSED_NORMALLY, reason });
  }
}
