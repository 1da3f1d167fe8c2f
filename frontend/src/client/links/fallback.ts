/** The HTTP transports, in a module of their own that is loaded on demand. */
export { openPolling } from "./polling.js";
export { openEventStream } from "./sse.js";
