/** The state of the client's connection, as data that a page can show. */

/** How frames travel between client and hub. */
export type Transport = "websocket" | "sse" | "polling";

interface Retrying {
  /** The number of failed attempts in a row, from 1. */
  readonly attempt: number;
  /** The delay before the next attempt, in milliseconds, as of this state. */
  readonly inMs: number;
  /** When the next attempt is made, as a `Date.now()` value. */
  readonly retryAt: number;
  /** Why the last attempt failed. */
  readonly reason: string;
}

/** The state of the client's connection; the cases differ in `status`. */
export type Connection =
  /** No plan is watched, so there is no connection. */
  | { readonly status: "idle" }
  | { readonly status: "connecting"; readonly transport: Transport }
  /** Connected, and receiving the events it missed. */
  | { readonly status: "catching_up"; readonly transport: Transport }
  | { readonly status: "live"; readonly transport: "websocket" | "sse" }
  /** Up to date, by repeated requests. */
  | { readonly status: "polling"; readonly transport: "polling" }
  | ({ readonly status: "reconnecting" } & Retrying)
  /** The device has no network. */
  | ({ readonly status: "offline" } & Retrying)
  /** Final, until `retry()` is called. */
  | { readonly status: "refused"; readonly code: number; readonly reason: string }
  | { readonly status: "closed" };

/** The cases of a connection's state. */
export type ConnectionStatus = Connection["status"];

/** Whether two states are equal, field by field. */
export function sameConnection(one: Connection, other: Connection): boolean {
  const names = Object.keys(one) as (keyof Connection)[];
  return names.length === Object.keys(other).length && names.every((name) => one[name] === other[name]);
}
