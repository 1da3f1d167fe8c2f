import type { ClientFrame } from "../../wire/index.js";
import { CLOSED_NORMALLY } from "./codes.js";
import type { Transport } from "./connection.js";
import type { Effect } from "./effects.js";
import { LineState } from "./line_state.js";

/** The line in use, and a better one that is tried beside it. Pure: what is to be done is told to `out`. */
export class Lines {
  /** By this name, answers to `authenticate` are told apart. */
  static readonly AUTHENTICATION = "authentication";
  current: LineState | null = null;
  candidate: LineState | null = null;
  readonly #out: (effect: Effect) => void;
  #count = 0;

  constructor(out: (effect: Effect) => void) {
    this.#out = out;
  }

  /** The line in use, if plans may be subscribed on it. */
  get ready(): LineState | null {
    return this.current?.ready ? this.current : null;
  }

  of(id: number): LineState | null {
    if (this.current?.id === id) return this.current;
    return this.candidate?.id === id ? this.candidate : null;
  }

  due(): number {
    return Math.min(this.current?.due() ?? Infinity, this.candidate?.due() ?? Infinity);
  }

  open(transport: Transport, token: string | undefined, now: number): LineState {
    const line = new LineState(++this.#count, transport, now);
    this.#out({ do: "open", line: line.id, transport, token });
    return line;
  }

  say(frame: ClientFrame, line = this.current): void {
    if (line) this.#out({ do: "send", line: line.id, frame });
  }

  authenticate(token: string | undefined, line = this.current): void {
    if (token) this.say({ type: "authenticate", token, request_id: Lines.AUTHENTICATION }, line);
  }

  /** Puts the line in use to the test: it must be heard of soon. */
  test(now: number): void {
    this.current?.test(now);
    this.say({ type: "ping" });
  }

  /** The candidate takes the place of the line in use. */
  promote(reason: string): void {
    const line = this.candidate;
    this.candidate = null;
    this.hangUp(reason);
    this.current = line;
  }

  dropCandidate(reason: string): void {
    this.#close(this.candidate, reason);
    this.candidate = null;
  }

  hangUp(reason: string): void {
    this.dropCandidate(reason);
    this.#close(this.current, reason);
    this.current = null;
  }

  #close(line: LineState | null, reason: string): void {
    if (line) this.#out({ do: "close", line: line.id, code: CLOSED_NORMALLY, reason });
  }
}
