import { BROKEN } from "../core/codes.js";
import type { ClientFrame } from "../../wire/index.js";
import { said } from "../http.js";
import type { Line, LineOptions } from "./line.js";

/** A line whose code is loaded when it is needed: few ever need it. What is said meanwhile waits. */
export function openLate(load: () => Promise<(options: LineOptions) => Line>): (options: LineOptions) => Line {
  return (options) => {
    let line: Line | undefined;
    let closed = false;
    const waiting: ClientFrame[] = [];
    load().then(
      (open) => {
        if (closed) return;
        line = open(options);
        for (const frame of waiting.splice(0)) line.send(frame);
      },
      (error: unknown) => closed || options.listener.closed(BROKEN, said(error)),
    );
    return {
      send: (frame) => (line ? line.send(frame) : void waiting.push(frame)),
      close: (code, reason) => {
        closed = true;
        line?.close(code, reason);
      },
    };
  };
}
