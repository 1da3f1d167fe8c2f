/** The ways that few need: a module of its own, loaded by those. */
export { openPolling } from "./polling.js";
export { openEventStream } from "./sse.js";
