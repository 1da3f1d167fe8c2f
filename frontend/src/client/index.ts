/** `plancast`: watch plans, answer their input requests, send signals, start plans. */
export { createClient } from "./client.js";
export type { Client, ClientOptions, Store } from "./client.js";
export type * from "./api_types.js";
export type { HubApi } from "./hub_api.js";
export type { Connection, ConnectionStatus, Transport } from "./core/connection.js";
export type { TokenReason } from "./core/effects.js";
export type { Environment, SocketLike } from "./environment.js";
export { PlancastError } from "./errors.js";
export type { ClientErrorCode, ErrorDetails, HttpErrorCode, PlancastErrorCode } from "./errors.js";
export { isPlanEnded } from "./fold/draft.js";
export { emptySnapshot, fold } from "./fold/fold.js";
export { obeys, workerOf } from "./fold/worker.js";
export type { PlanPhase, PlanStore, PlanView } from "./plan_store.js";
export type { FetchToken } from "./token_source.js";
export type * from "../wire/index.js";
