/**
 * Answers and signals that wait for the hub's response. Pure.
 *
 * An answer is sent again after a reconnect: the hub accepts it once (C-INP-2). A signal is not (K-SND-1): it fails with `unanswered`.
 */
import type { ErrorFrame, InputAcceptedFrame, PlanInputFrame, PlanSignalFrame } from "../../wire/index.js";
import type { SignalAcceptedFrame } from "../../wire/index.js";
import { PlancastError } from "../errors.js";

/** The hub's limit of unanswered requests on one connection (C-LIM-3). */
const MAX_PENDING = 32;
const RETRY_MS = 1_000;

export type RequestFrame = PlanInputFrame | PlanSignalFrame;

export interface Outcome {
  readonly id: number;
  /** Why it failed; null: it was accepted. */
  readonly error: PlancastError | null;
  readonly accepted?: InputAcceptedFrame | SignalAcceptedFrame;
}

interface Request {
  readonly id: number;
  readonly frame: RequestFrame;
  readonly deadline: number;
  /** The earliest time to send it; Infinity while it is in flight. */
  sendAt: number;
  sent: boolean;
}

export class Requests {
  #waiting: Request[] = [];

  get size(): number {
    return this.#waiting.length;
  }

  /** When the next request must be sent or times out; `open`: requests can be sent now. */
  due(open: boolean): number {
    return Math.min(...this.#waiting.map((one) => (open ? Math.min(one.deadline, one.sendAt) : one.deadline)));
  }

  /** Queues a request; returns an error if it cannot be queued. */
  add(id: number, frame: RequestFrame, now: number, timeoutMs: number): PlancastError | null {
    if (this.#waiting.length >= MAX_PENDING) {
      return new PlancastError("too_many_requests", `${MAX_PENDING} requests are already pending`);
    }
    if (frame.type === "plan_input" && this.#find(frame.plan_id, frame.request_id)) {
      return new PlancastError("busy", "an answer to this question is pending", about(frame));
    }
    this.#waiting.push({ id, frame, deadline: now + timeoutMs, sendAt: 0, sent: false });
    return null;
  }

  /** Takes the requests that are due for sending. */
  ready(now: number): RequestFrame[] {
    const ready = this.#waiting.filter((one) => one.sendAt <= now);
    for (const one of ready) {
      one.sendAt = Infinity;
      one.sent = true;
    }
    return ready.map((one) => one.frame);
  }

  /** The connection broke: fails the signals in flight, and queues the rest again. */
  broken(): Outcome[] {
    const lost = this.#waiting.filter((one) => one.sent && one.frame.type === "plan_signal");
    for (const one of this.#waiting) one.sendAt = 0;
    const message = "the connection broke, so the outcome is unknown; check the plan before you send it again";
    return lost.map((one) => this.#settle(one, new PlancastError("unanswered", message, about(one.frame))));
  }

  /** Fails the requests whose deadline has passed. */
  expired(now: number): Outcome[] {
    return this.#waiting.filter((one) => one.deadline <= now).map((one) => this.#settle(one, late(one)));
  }

  /** Fails all requests with this error. */
  dropAll(error: PlancastError): Outcome[] {
    return this.#waiting.map((one) => this.#settle(one, error));
  }

  accepted(frame: InputAcceptedFrame | SignalAcceptedFrame): Outcome | null {
    const one = this.#find(frame.plan_id, frame.request_id);
    return one ? { ...this.#settle(one, null), accepted: frame } : null;
  }

  /** Handles an error frame. Returns null if it is about something else, or if the request will be sent again. */
  refused(frame: ErrorFrame, now: number): Outcome | null {
    const one = this.#find(frame.plan_id, frame.request_id);
    if (!one) return null;
    if (frame.code === "token_expired" || frame.code === "unauthenticated") {
      one.sent = false; // wait for a new token
      one.sendAt = Infinity;
      return null;
    }
    if (frame.code === "unavailable" && one.frame.type === "plan_input") {
      one.sendAt = now + (frame.retry_after_ms ?? RETRY_MS);
      return null;
    }
    return this.#settle(one, errorOf(frame));
  }

  /** A new token was accepted: queues the requests that waited for it. */
  authenticated(): void {
    for (const one of this.#waiting) if (!one.sent) one.sendAt = 0;
  }

  #find(planId: string | undefined, requestId: string | undefined): Request | undefined {
    return this.#waiting.find(({ frame }) => frame.plan_id === planId && frame.request_id === requestId);
  }

  #settle(one: Request, error: PlancastError | null): Outcome {
    this.#waiting = this.#waiting.filter((other) => other !== one);
    return { id: one.id, error };
  }
}

export function errorOf(frame: ErrorFrame): PlancastError {
  const { plan_id: planId, request_id: requestId, retry_after_ms: retryAfterMs, by, at } = frame;
  return new PlancastError(frame.code, frame.message, { planId, requestId, retryAfterMs, by, at });
}

function late({ frame, sent }: Request): PlancastError {
  return sent
    ? new PlancastError("timeout", "no answer in time; the outcome is unknown", about(frame))
    : new PlancastError("offline", "no connection to send it on", about(frame));
}

function about(frame: RequestFrame) {
  return { planId: frame.plan_id, requestId: frame.request_id };
}
