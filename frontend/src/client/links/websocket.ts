import { BROKEN } from "../core/codes.js";
import type { Link, LinkOptions, ServerFrame } from "./link.js";

const CONNECTING = 0;
const OPEN = 1;

export function openWebSocket({ environment, base, listener }: LinkOptions): Link {
  const { WebSocket } = environment;
  if (!WebSocket) throw new Error("WebSocket is not available");
  const socket = new WebSocket(`${base.replace(/^http/, "ws")}/ws/streaming`);
  socket.onmessage = ({ data }) => {
    const frame = parsed(data);
    if (frame) listener.frame(frame);
  };
  socket.onerror = () => undefined; // a close event follows
  socket.onclose = ({ code, reason }) => {
    detach();
    listener.closed(code, reason || (code === BROKEN ? "the connection broke" : ""));
  };
  const detach = () => {
    socket.onmessage = socket.onclose = socket.onopen = null;
  };
  return {
    send(frame) {
      if (socket.readyState === OPEN) socket.send(JSON.stringify(frame));
    },
    close(code, reason) {
      detach();
      if (socket.readyState > OPEN) return;
      // A socket that is not open yet cannot send a close code.
      if (socket.readyState === CONNECTING) socket.close();
      else socket.close(code, reason);
    },
  };
}

/** The frame; undefined if it is not valid. */
function parsed(data: unknown): ServerFrame | undefined {
  try {
    const frame = JSON.parse(String(data)) as ServerFrame | null;
    return typeof frame?.type === "string" ? frame : undefined;
  } catch {
    return undefined;
  }
}
