import type { ErrorCode } from "../wire/index.js";

/** Codes of the client's own, besides the protocol's (docs/PROTOCOL.md, section 8 and H-GEN-2). */
export type ClientErrorCode =
  /** The request didn't leave this device, and its time is over. */
  | "offline"
  /** It was said, and no answer came in time; whether it took effect is unknown. */
  | "timeout"
  /** The line broke between a signal and its answer; whether it took effect is unknown. */
  | "unanswered"
  /** An answer to the same question is under way. */
  | "busy"
  /** The hub doesn't let this client in; `message` says why. */
  | "refused"
  /** The client was closed. */
  | "closed"
  /** No answer over HTTP: the network or the hub is away. */
  | "network";

export type HttpErrorCode =
  "no_such_plan" | "unknown_template" | "log_full" | "ticket_too_large" | "not_json" | "too_large";

export type PlancastErrorCode = ErrorCode | HttpErrorCode | ClientErrorCode | (string & {});

export interface ErrorDetails {
  readonly planId?: string | undefined;
  readonly requestId?: string | undefined;
  /** The hub asks to wait so long before the next try. */
  readonly retryAfterMs?: number | undefined;
  /** Of `already_answered`: who was first, and when. */
  readonly by?: string | undefined;
  readonly at?: string | undefined;
  /** The field at fault. */
  readonly field?: string | undefined;
  /** Of `continuity_lost`: trimmed, forked, ahead or epoch. */
  readonly reason?: string | undefined;
  /** The HTTP status, where there was one. */
  readonly status?: number | undefined;
}

/** Whatever fails in this library, fails with one of these: `code` is for programs, `message` for people. */
export class PlancastError extends Error {
  override readonly name = "PlancastError";
  readonly code: PlancastErrorCode;
  declare readonly planId?: string;
  declare readonly requestId?: string;
  declare readonly retryAfterMs?: number;
  declare readonly by?: string;
  declare readonly at?: string;
  declare readonly field?: string;
  declare readonly reason?: string;
  declare readonly status?: number;

  constructor(code: PlancastErrorCode, message: string, details: ErrorDetails = {}) {
    super(message);
    this.code = code;
    Object.assign(this, details);
  }
}
