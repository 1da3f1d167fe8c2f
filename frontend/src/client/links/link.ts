import type { ClientFrame, ControlFrame, EventFrame } from "../../wire/index.js";
import type { PlancastError } from "../errors.js";
import type { Environment } from "../environment.js";
import type { Http } from "../http.js";
import { BROKEN, TOKEN_EXPIRED, UNAUTHENTICATED } from "../core/codes.js";

export type ServerFrame = ControlFrame | EventFrame;

/** Callbacks of a link. None is called after `closed`, or after `Link.close`. */
export interface LinkListener {
  frame(frame: ServerFrame): void;
  /** Something other than a frame was received. */
  received(): void;
  closed(code: number, reason: string, retryAfterMs?: number): void;
}

/** A connection that carries frames to a hub and back: a WebSocket, or an HTTP transport that behaves like one. */
export interface Link {
  send(frame: ClientFrame): void;
  close(code: number, reason: string): void;
}

export interface LinkOptions {
  readonly environment: Environment;
  readonly http: Http;
  /** The hub's address, without a trailing slash. */
  readonly base: string;
  readonly token: string | undefined;
  readonly listener: LinkListener;
}

/** The close code for a failed request. */
export function closeCodeOf({ code, status }: PlancastError): number {
  if (code === "token_expired") return TOKEN_EXPIRED;
  if (status === 401) return UNAUTHENTICATED;
  if (status === 403) return 4503;
  if (status === 429) return 4429;
  return status === 503 ? 1012 : BROKEN;
}
