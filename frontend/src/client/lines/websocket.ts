import { BROKEN } from "../core/codes.js";
import type { Line, LineOptions, ServerFrame } from "./line.js";

const CONNECTING = 0;
const OPEN = 1;

export function openWebSocket({ environment, base, listener }: LineOptions): Line {
  const { WebSocket } = environment;
  if (!WebSocket) throw new Error("there is no WebSocket here");
  const socket = new WebSocket(`${base.replace(/^http/, "ws")}/ws/streaming`);
  socket.onmessage = ({ data }) => {
    const frame = parsed(data);
    if (frame) listener.frame(frame);
  };
  socket.onerror = () => undefined; // a close follows, and says more
  socket.onclose = ({ code, reason }) => {
    forget();
    listener.closed(code, reason || (code === BROKEN ? "the line broke" : ""));
  };
  const forget = () => {
    socket.onmessage = socket.onclose = socket.onopen = null;
  };
  return {
    send(frame) {
      if (socket.readyState === OPEN) socket.send(JSON.stringify(frame));
    },
    close(code, reason) {
      forget();
      if (socket.readyState > OPEN) return;
      // One that isn't open yet can't say why it goes.
      if (socket.readyState === CONNECTING) socket.close();
      else socket.close(code, reason);
    },
  };
}

/** The frame; nothing, if it is none that anybody could read. */
function parsed(data: unknown): ServerFrame | undefined {
  try {
    const frame = JSON.parse(String(data)) as ServerFrame | null;
    return typeof frame?.type === "string" ? frame : undefined;
  } catch {
    return undefined;
  }
}
