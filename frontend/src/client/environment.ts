/** The platform as the client uses it. Tests and other runtimes pass their own parts; the default is the global objects. */

/** The part of `WebSocket` that the client uses. */
export interface SocketLike {
  readonly readyState: number;
  onopen: ((event: never) => void) | null;
  onmessage: ((event: { readonly data: unknown }) => void) | null;
  onclose: ((event: { readonly code: number; readonly reason: string }) => void) | null;
  onerror: ((event: never) => void) | null;
  send(text: string): void;
  close(code?: number, reason?: string): void;
}

/** The platform features that the client uses; see `ClientOptions.environment`. */
export interface Environment {
  /** Without one, the client uses no WebSockets. */
  readonly WebSocket?: (new (url: string) => SocketLike) | undefined;
  readonly fetch: typeof fetch;
  /** The hub's address if `url` is not set. */
  readonly origin?: string | undefined;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  /** A random number from 0 to below 1. */
  readonly random: () => number;
  /** Calls back once after this many milliseconds; returns a function that cancels it. */
  readonly after: (ms: number, callback: () => void) => () => void;
  /** Whether the page is visible. */
  readonly isVisible: () => boolean;
  /** Whether the device reports a network. */
  readonly isOnline: () => boolean;
  /** Calls back when one of these may have changed, or the page was resumed; returns a function that stops it. */
  readonly watch: (changed: () => void) => () => void;
}

/** The longest delay that `setTimeout` takes. */
const LONGEST_MS = 2 ** 31 - 1;

/** The environment made of the global objects, with the given parts replaced. */
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
