/**
 * Answers and signals that wait for the hub's word. Pure.
 *
 * An answer is said again after a break: the hub takes it once (C-INP-2). A signal is not (K-SND-1): it fails with `unanswered`.
 */
import type { ErrorFrame, InputAcceptedFrame, PlanInputFrame, PlanSignalFrame } from "../../wire/index.js";
import type { SignalAcceptedFrame } from "../../wire/index.js";
import { PlancastError } from "../errors.js";

/** The hub lets no more wait on one connection (C-LIM-3). */
const MOST = 32;
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
  /** Not before this; Infinity while it is under way. */
  sendAt: number;
  said: boolean;
}

export class Requests {
  #waiting: Request[] = [];

  get size(): number {
    return this.#waiting.length;
  }

  /** When something is to be done, given a line that is `open` or not. */
  due(open: boolean): number {
    return Math.min(...this.#waiting.map((one) => (open ? Math.min(one.deadline, one.sendAt) : one.deadline)));
  }

  /** Adds a request; an error says at once why it can't be had. */
  add(id: number, frame: RequestFrame, now: number, timeoutMs: number): PlancastError | null {
    if (this.#waiting.length >= MOST) {
      return new PlancastError("too_many_requests", `${MOST} requests wait for their answer already`);
    }
    if (frame.type === "plan_input" && this.#find(frame.plan_id, frame.request_id)) {
      return new PlancastError("busy", "an answer to this question is under way", about(frame));
    }
    this.#waiting.push({ id, frame, deadline: now + timeoutMs, sendAt: 0, said: false });
    return null;
  }

  /** What is to be said now. */
  ready(now: number): RequestFrame[] {
    const ready = this.#waiting.filter((one) => one.sendAt <= now);
    for (const one of ready) {
      one.sendAt = Infinity;
      one.said = true;
    }
    return ready.map((one) => one.frame);
  }

  /** The line broke. */
  broken(): Outcome[] {
    const lost = this.#waiting.filter((one) => one.said && one.frame.type === "plan_signal");
    for (const one of this.#waiting) one.sendAt = 0;
    const message = "the line broke; whether it took effect is unknown: look at the plan before you say it again";
    return lost.map((one) => this.#settle(one, new PlancastError("unanswered", message, about(one.frame))));
  }

  /** Those whose time is over. */
  expired(now: number): Outcome[] {
    return this.#waiting.filter((one) => one.deadline <= now).map((one) => this.#settle(one, late(one)));
  }

  /** Nothing will be answered any more. */
  dropAll(error: PlancastError): Outcome[] {
    return this.#waiting.map((one) => this.#settle(one, error));
  }

  accepted(frame: InputAcceptedFrame | SignalAcceptedFrame): Outcome | null {
    const one = this.#find(frame.plan_id, frame.request_id);
    return one ? { ...this.#settle(one, null), accepted: frame } : null;
  }

  /** The outcome; null when the error is about something else, or the request is said again. */
  refused(frame: ErrorFrame, now: number): Outcome | null {
    const one = this.#find(frame.plan_id, frame.request_id);
    if (!one) return null;
    if (frame.code === "token_expired" || frame.code === "unauthenticated") {
      one.said = false; // and it isn't, until there is a token
      one.sendAt = Infinity;
      return null;
    }
    if (frame.code === "unavailable" && one.frame.type === "plan_input") {
      one.sendAt = now + (frame.retry_after_ms ?? RETRY_MS);
      return null;
    }
    return this.#settle(one, errorOf(frame));
  }

  /** There is a token again. */
  authenticated(): void {
    for (const one of this.#waiting) if (!one.said) one.sendAt = 0;
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

function late({ frame, said }: Request): PlancastError {
  return said
    ? new PlancastError("timeout", "the hub did not answer in time; whether it took effect is unknown", about(frame))
    : new PlancastError("offline", "there was no connection to say it on", about(frame));
}

function about(frame: RequestFrame) {
  return { planId: frame.plan_id, requestId: frame.request_id };
}
