import type { ClientFrame } from "../../wire/index.js";
import type { Transport } from "./connection.js";
import type { Outcome } from "./requests.js";

/** Why a token is asked for: for a connection, because the old one's time is nearly over, or because it is over. */
export type TokenReason = "connect" | "expiring" | "expired";

/** What a session wants done. Lines are told apart by number. */
export type Effect =
  | { readonly do: "open"; readonly line: number; readonly transport: Transport; readonly token: string | undefined }
  | { readonly do: "send"; readonly line: number; readonly frame: ClientFrame }
  | { readonly do: "close"; readonly line: number; readonly code: number; readonly reason: string }
  /** Then `token` or `tokenFailed`. */
  | { readonly do: "fetch_token"; readonly reason: TokenReason }
  /** Does the hub answer at all? Then `hubFound`. */
  | { readonly do: "look_for_hub" }
  | { readonly do: "settle"; readonly outcome: Outcome }
  | { readonly do: "plan_changed"; readonly planId: string }
  | { readonly do: "connection_changed" };
