import type { ClientFrame } from "../../wire/index.js";
import type { Transport } from "./connection.js";
import type { Outcome } from "./requests.js";

/** Why a token is requested: for a new connection, because the current one expires soon, or because it has expired. */
export type TokenReason = "connect" | "expiring" | "expired";

/** I/O that a session requests from its driver. Links are identified by number. */
export type Effect =
  | { readonly do: "open"; readonly link: number; readonly transport: Transport; readonly token: string | undefined }
  | { readonly do: "send"; readonly link: number; readonly frame: ClientFrame }
  | { readonly do: "close"; readonly link: number; readonly code: number; readonly reason: string }
  /** The driver answers with `token` or `tokenFailed`. */
  | { readonly do: "fetch_token"; readonly reason: TokenReason }
  /** Checks whether the hub answers HTTP; the driver answers with `hubFound`. */
  | { readonly do: "probe_hub" }
  | { readonly do: "settle"; readonly outcome: Outcome }
  | { readonly do: "plan_changed"; readonly planId: string }
  | { readonly do: "connection_changed" };
