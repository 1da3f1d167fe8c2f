/** How a connection is, as data: to be shown as it is. */

export type Transport = "websocket" | "sse" | "polling";

interface Trying {
  /** The tries in a row, from 1. */
  readonly attempt: number;
  /** How long it was to be waited when this was said; and the moment of the next try, as `Date.now()` will be then. */
  readonly inMs: number;
  readonly retryAt: number;
  /** What became of the last try. */
  readonly reason: string;
}

export type Connection =
  /** Nothing is watched, so there is none. */
  | { readonly status: "idle" }
  | { readonly status: "connecting"; readonly transport: Transport }
  /** Connected; what was missed is on its way. */
  | { readonly status: "catching_up"; readonly transport: Transport }
  | { readonly status: "live"; readonly transport: "websocket" | "sse" }
  /** Live, but by asking again and again. */
  | { readonly status: "polling"; readonly transport: "polling" }
  | ({ readonly status: "reconnecting" } & Trying)
  /** The device says it has no network. */
  | ({ readonly status: "offline" } & Trying)
  /** Final, until somebody asks for another try. */
  | { readonly status: "refused"; readonly code: number; readonly reason: string }
  | { readonly status: "closed" };

export type ConnectionStatus = Connection["status"];

/** The same to whoever looks at it. */
export function sameConnection(one: Connection, other: Connection): boolean {
  const names = Object.keys(one) as (keyof Connection)[];
  return names.length === Object.keys(other).length && names.every((name) => one[name] === other[name]);
}
