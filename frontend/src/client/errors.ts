import type { ErrorCode } from "../wire/index.js";

/** Codes of errors that the client raises itself; those of the protocol are in docs/PROTOCOL.md, section 8 and H-GEN-2. */
export type ClientErrorCode =
  /** The request timed out before it could be sent. */
  | "offline"
  /** The request was sent, and no answer came in time; whether it took effect is unknown. */
  | "timeout"
  /** The connection broke between a signal and its answer; whether it took effect is unknown. */
  | "unanswered"
  /** Another answer to the same question is pending. */
  | "busy"
  /** The hub refused this client; `message` has the reason. */
  | "refused"
  /** The client was closed. */
  | "closed"
  /** No HTTP response: the network or the hub is unreachable. */
  | "network";

/** Codes of the hub's HTTP API that the protocol's frames do not have. */
export type HttpErrorCode =
  "no_such_plan" | "unknown_template" | "log_full" | "ticket_too_large" | "not_json" | "too_large";

/** Every code that `PlancastError.code` may have; newer hubs may send others. */
export type PlancastErrorCode = ErrorCode | HttpErrorCode | ClientErrorCode | (string & {});

/** What an error is about; only the fields that apply are set. */
export interface ErrorDetails {
  readonly planId?: string | undefined;
  readonly requestId?: string | undefined;
  /** How long the hub asks to wait before the next attempt. */
  readonly retryAfterMs?: number | undefined;
  /** With `already_answered`: who answered. */
  readonly by?: string | undefined;
  /** With `already_answered`: when. */
  readonly at?: string | undefined;
  /** The invalid field. */
  readonly field?: string | undefined;
  /** With `continuity_lost`: `trimmed`, `forked`, `ahead` or `epoch`. */
  readonly reason?: string | undefined;
  /** The HTTP status, if there was a response. */
  readonly status?: number | undefined;
}

/**
 * The error that every failing call of this library throws or rejects with.
 *
 * `code` is for programs, `message` for people; the other fields are set where they apply.
 *
 * @example
 * ```ts
 * await client.signal("plan-1", "pause").catch((error) => {
 *   if (error.code === "unanswered") checkThePlan();
 * });
 * ```
 */
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
