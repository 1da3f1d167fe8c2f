import type { ClientFrame, ControlFrame, EventFrame } from "../../wire/index.js";
import type { PlancastError } from "../errors.js";
import type { Environment } from "../environment.js";
import type { Http } from "../http.js";
import { BROKEN, TOKEN_EXPIRED, UNAUTHENTICATED } from "../core/codes.js";

export type ServerFrame = ControlFrame | EventFrame;

/** What a line tells. Nothing after `closed`, or after it was closed from here. */
export interface LineListener {
  frame(frame: ServerFrame): void;
  /** Something came that is no frame. */
  heard(): void;
  closed(code: number, reason: string, retryAfterMs?: number): void;
}

/** A way for frames to a hub and back: a WebSocket, or what behaves like one. */
export interface Line {
  send(frame: ClientFrame): void;
  close(code: number, reason: string): void;
}

export interface LineOptions {
  readonly environment: Environment;
  readonly http: Http;
  /** The hub's address, without a slash at its end. */
  readonly base: string;
  readonly token: string | undefined;
  readonly listener: LineListener;
}

/** The close code that says the same as this problem of a request. */
export function closeCodeOf({ code, status }: PlancastError): number {
  if (code === "token_expired") return TOKEN_EXPIRED;
  if (status === 401) return UNAUTHENTICATED;
  if (status === 403) return 4503;
  if (status === 429) return 4429;
  return status === 503 ? 1012 : BROKEN;
}
