/** The text of the connection tag: how current the page is. */
import type { Connection, PlancastError, PlanPhase } from "../../../client/index.js";

export type Tone = "good" | "busy" | "warning" | "bad" | "quiet";

export interface ConnectionLabel {
  readonly tone: Tone;
  readonly text: string;
  readonly detail?: string;
  /** Whether to show a button that retries now. */
  readonly mayRetry?: boolean;
}

export const LIVE_TEXT = "Real-time updates active";

/** `error`: why the plan is not available, or not yet. */
export function connectionLabel(
  connection: Connection,
  phase: PlanPhase,
  now: number,
  error: PlancastError | null = null,
): ConnectionLabel {
  if (error && isUnavailable(connection, phase)) return unavailable(error);
  switch (connection.status) {
    case "live":
      return phase === "live" ? { tone: "good", text: LIVE_TEXT, detail: viaOf(connection.transport) } : catchingUp;
    case "polling":
      return phase === "live"
        ? { tone: "warning", text: "Polling", detail: "The network blocks live updates; refreshing at intervals." }
        : catchingUp;
    case "catching_up":
      return catchingUp;
    case "connecting":
      return { tone: "busy", text: "Connecting…" };
    case "reconnecting":
      return {
        tone: "warning",
        text: reconnecting(connection.retryAt, now),
        detail: connection.reason,
        mayRetry: true,
      };
    case "offline":
      return {
        tone: "bad",
        text: "Offline",
        detail: "This device has no network. Updates resume when it is back.",
        mayRetry: true,
      };
    case "refused":
      return { tone: "bad", text: `Refused: ${connection.reason || connection.code}`, mayRetry: true };
    case "closed":
      return { tone: "quiet", text: "Closed" };
    default:
      return { tone: "quiet", text: "Not connected" };
  }
}

const CONNECTED = new Set<Connection["status"]>(["catching_up", "live", "polling"]);

/** Connected, but this plan is not subscribed. */
function isUnavailable({ status }: Connection, phase: PlanPhase): boolean {
  return phase === "waiting" && CONNECTED.has(status);
}

function unavailable({ code, message }: PlancastError): ConnectionLabel {
  const signedOut = code === "token_expired" || code === "unauthenticated";
  return { tone: "warning", text: signedOut ? "Sign-in expired" : "Not up to date", detail: message };
}

const catchingUp: ConnectionLabel = { tone: "busy", text: "Catching up…", detail: "Receiving missed events." };

function viaOf(transport: "websocket" | "sse"): string {
  return transport === "websocket" ? "Over a WebSocket" : "Over server-sent events";
}

function reconnecting(retryAt: number, now: number): string {
  const seconds = Math.ceil((retryAt - now) / 1_000);
  return seconds > 0 ? `Reconnecting in ${seconds} s` : "Reconnecting…";
}
