/** The tag that says how current the page is: the truth, and nothing nicer. */
import type { Connection, PlancastError, PlanPhase } from "../../../client/index.js";

export type Tone = "good" | "busy" | "warning" | "bad" | "quiet";

export interface ConnectionWords {
  readonly tone: Tone;
  readonly text: string;
  readonly detail?: string;
  /** A try at once makes sense. */
  readonly mayRetry?: boolean;
}

export const LIVE_TEXT = "Real-time updates active";

/** `error`: why the plan isn't to be had, or not yet. */
export function connectionWords(
  connection: Connection,
  phase: PlanPhase,
  now: number,
  error: PlancastError | null = null,
): ConnectionWords {
  if (error && isLeftOut(connection, phase)) return notToBeHad(error);
  switch (connection.status) {
    case "live":
      return phase === "live" ? { tone: "good", text: LIVE_TEXT, detail: viaOf(connection.transport) } : catchingUp;
    case "polling":
      return phase === "live"
        ? { tone: "warning", text: "Polling", detail: "The network holds back live updates; asking every so often." }
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
        detail: "This device has no network. It goes on where it was.",
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

/** There is a connection, but not for this plan. */
function isLeftOut({ status }: Connection, phase: PlanPhase): boolean {
  return phase === "waiting" && CONNECTED.has(status);
}

function notToBeHad({ code, message }: PlancastError): ConnectionWords {
  const signedOut = code === "token_expired" || code === "unauthenticated";
  return { tone: "warning", text: signedOut ? "Sign-in ended" : "Not up to date", detail: message };
}

const catchingUp: ConnectionWords = { tone: "busy", text: "Catching up…", detail: "What was missed is on its way." };

function viaOf(transport: "websocket" | "sse"): string {
  return transport === "websocket" ? "Over a WebSocket" : "Over server-sent events";
}

function reconnecting(retryAt: number, now: number): string {
  const seconds = Math.ceil((retryAt - now) / 1_000);
  return seconds > 0 ? `Reconnecting in ${seconds} s` : "Reconnecting…";
}
