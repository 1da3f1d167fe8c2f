/** The outer world, as the client uses it. Tests and other runtimes hand in their own; the default is whatever is global. */

export interface SocketLike {
  readonly readyState: number;
  onopen: ((event: never) => void) | null;
  onmessage: ((event: { readonly data: unknown }) => void) | null;
  onclose: ((event: { readonly code: number; readonly reason: string }) => void) | null;
  onerror: ((event: never) => void) | null;
  send(text: string): void;
  close(code?: number, reason?: string): void;
}

export interface Environment {
  /** Without one, no WebSocket is tried. */
  readonly WebSocket?: (new (url: string) => SocketLike) | undefined;
  readonly fetch: typeof fetch;
  /** The hub's address, where none is given. */
  readonly origin?: string | undefined;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  /** From 0 to below 1. */
  readonly random: () => number;
  /** Calls back once after so many milliseconds; gives what takes that back. */
  readonly after: (ms: number, callback: () => void) => () => void;
  /** Is the page seen? */
  readonly isVisible: () => boolean;
  /** Does the device think that it has a network? */
  readonly isOnline: () => boolean;
  /** Calls back whenever one of these may have changed, or the page was woken; gives what ends that. */
  readonly watch: (changed: () => void) => () => void;
}

/** Timers count no further. */
const LONGEST_MS = 2 ** 31 - 1;

/** What is global here, with the parts that are handed in put in its place. */
export function environmentOf(parts: Partial<Environment> = {}): Environment {
  const socket = (globalThis as { WebSocket?: unknown }).WebSocket as Environment["WebSocket"];
  return {
    WebSocket: socket,
    fetch: (...request) => globalThis.fetch(...request),
    origin: (globalThis as { location?: Location }).location?.origin,
    now: () => Date.now(),
    random: () => Math.random(),
    after: (ms, callback) => {
      const timer = setTimeout(callback, Math.min(ms, LONGEST_MS));
      return () => clearTimeout(timer);
    },
    isVisible: () => page()?.visibilityState !== "hidden",
    isOnline: () => (globalThis as { navigator?: Partial<Navigator> }).navigator?.onLine !== false,
    watch: watchPage,
    ...parts,
  };
}

function page(): Document | undefined {
  return (globalThis as { document?: Document }).document;
}

function watchPage(changed: () => void): () => void {
  const targets: readonly [EventTarget | undefined, readonly string[]][] = [
    [page(), ["visibilitychange", "resume"]],
    [globalThis as { addEventListener?: unknown } as EventTarget, ["online", "offline", "pageshow"]],
  ];
  const listening = targets.flatMap(([target, names]) =>
    typeof target?.addEventListener === "function" ? names.map((name) => [target, name] as const) : [],
  );
  for (const [target, name] of listening) target.addEventListener(name, changed);
  return () => {
    for (const [target, name] of listening) target.removeEventListener(name, changed);
  };
}
