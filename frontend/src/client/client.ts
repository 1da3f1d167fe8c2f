/** `createClient`: the client of a hub. */
import type { ClientFrame, EventFrame, Place, SignalName } from "../wire/index.js";
import { BROKEN } from "./core/codes.js";
import type { Connection, Transport } from "./core/connection.js";
import { Driver } from "./driver.js";
import { type Environment, environmentOf } from "./environment.js";
import { PlancastError } from "./errors.js";
import { Http, messageOf } from "./http.js";
import { type HubApi, hubApi, uniqueId } from "./hub_api.js";
import type { Link, LinkOptions } from "./links/link.js";
import { openWebSocket } from "./links/websocket.js";
import type { PlanStore, PlanView } from "./plan_store.js";
import { type FetchToken, TokenSource } from "./token_source.js";

/** The number of plan stores kept for reuse. Two stores of the same plan are equivalent. */
const STORES = 1_000;
const PLAN_ID = /^[A-Za-z0-9._:@~-]{1,128}$/;

/** The options of `createClient`. */
export interface ClientOptions {
  /** The hub's address, such as `https://hub.example`; default: the page's origin. */
  readonly url?: string | undefined;
  /** A fixed token (JWT), if the hub requires one. */
  readonly token?: string | undefined;
  /** Returns a fresh token; called before each connection, and before the current token expires. */
  readonly fetchToken?: FetchToken | undefined;
  /** The transports to use, best first; default: all. */
  readonly transports?: readonly Transport[] | undefined;
  /** How long a plan stays subscribed after its last watcher left; default 2000. */
  readonly lingerMs?: number | undefined;
  /** How many of a plan's newest events `recent()` keeps; default 1000. */
  readonly historyLimit?: number | undefined;
  /** Replacements for the global `WebSocket`, `fetch`, timers and so on. */
  readonly environment?: Partial<Environment> | undefined;
}

/** A value that changes, in the form that React's `useSyncExternalStore` takes. */
export interface Store<State> {
  /** The current value; the same object until it changes. */
  readonly getSnapshot: () => State;
  /** Calls back after each change; returns a function that stops it. */
  readonly subscribe: (listener: () => void) => () => void;
}

/** The client of a hub: one connection for all plans that are watched. Methods may be called in any state. */
export interface Client extends HubApi {
  /**
   * The store of a plan. It opens nothing: the plan is watched while the store has listeners.
   *
   * @returns The same store for the same plan.
   */
  plan(planId: string): PlanStore;
  /** The state of the connection. */
  readonly connection: Store<Connection>;
  /**
   * Answers an input request of a plan. It is sent again after a reconnect, and accepted once.
   *
   * @returns The answer's position in the log, once the hub has accepted it.
   * @throws PlancastError `already_answered`, `request_expired`, `forbidden`, `offline`, `timeout`, …
   */
  answer(planId: string, requestId: string, answer: unknown): Promise<Place | null>;
  /**
   * Sends a signal to the plan's runner. Resolves when the runner has received it; the plan's events show when it is obeyed.
   *
   * @throws PlancastError `unanswered` if the connection broke first: check the plan before sending the signal again.
   */
  signal(planId: string, signal: SignalName): Promise<void>;
  /** Connects now, also after a refusal. */
  retry(): void;
  /** Closes the connection and fails all pending requests. The client cannot be used again. */
  close(): void;
}

/**
 * Creates a client of a hub. It connects when the first plan is watched, and disconnects some time after the last.
 *
 * @throws TypeError if `url` is not an http(s) address, and there is no page whose origin could be used.
 * @example
 * ```ts
 * const plan = createClient({ url: "http://localhost:8000" }).plan("plan-1");
 * plan.subscribe(() => console.log(plan.getSnapshot().snapshot?.status));
 * ```
 */
export function createClient(options: ClientOptions = {}): Client {
  const environment = environmentOf(options.environment);
  const base = (options.url ?? environment.origin ?? "").replace(/\/+$/, "");
  if (!/^https?:\/\//.test(base)) {
    throw new TypeError(`createClient: url must be like https://hub.example; got "${base}"`);
  }
  const http = new Http(environment, base);
  const tokens = new TokenSource(environment, options.token, options.fetchToken);
  const { lingerMs = 2_000, historyLimit = 1_000, transports = ["websocket", "sse", "polling"] } = options;
  const driver = new Driver({
    environment,
    http,
    tokens,
    base,
    transports: transports.filter((one) => one !== "websocket" || environment.WebSocket),
    openers: {
      websocket: openWebSocket,
      sse: lazyLink(async () => (await import("./links/fallback.js")).openEventStream),
      polling: lazyLink(async () => (await import("./links/fallback.js")).openPolling),
    },
    lingerMs,
    historyLimit,
  });
  const stores = new Map<string, PlanStore>();
  return {
    plan(planId) {
      const store = stores.get(planId) ?? storeOf(driver, planId);
      stores.delete(planId); // re-inserted at the end: the map is in order of use
      stores.set(planId, store);
      if (stores.size > STORES) stores.delete([...stores.keys()][0] ?? "");
      return store;
    },
    connection: {
      getSnapshot: () => driver.session.connection,
      subscribe: (listener) => driver.connectionChanges.add(listener),
    },
    async answer(planId, requestId, answer) {
      const idempotency_key = uniqueId(environment.random);
      const about = { plan_id: planId, request_id: requestId, idempotency_key };
      const { accepted } = await driver.request({ type: "plan_input", ...about, answer: answer ?? null });
      if (accepted?.type !== "input_accepted" || accepted.epoch === undefined) return null;
      return { epoch: accepted.epoch, offset: accepted.offset ?? 0 };
    },
    async signal(planId, signal) {
      const request_id = uniqueId(environment.random);
      await driver.request({ type: "plan_signal", plan_id: planId, signal, request_id });
    },
    ...hubApi(environment, http, tokens),
    retry: () => driver.run((session, now) => session.retry(now)),
    close: () => driver.run((session, now) => session.close(now)),
  };
}

function storeOf(driver: Driver, planId: string): PlanStore {
  const fit = PLAN_ID.test(planId);
  const message = "a plan id is 1 to 128 of A-Z a-z 0-9 . _ : @ ~ -";
  const error = fit ? null : new PlancastError("invalid_plan_id", message, { planId });
  const nothing = { snapshot: null, status: null, place: null, live: false };
  const unwatched: PlanView = { planId, ...nothing, phase: fit ? "waiting" : "refused", error };
  const unsubscribed = () => undefined;
  const none: readonly EventFrame[] = [];
  return {
    planId,
    getSnapshot: () => driver.watchOf(planId)?.view ?? unwatched,
    subscribe: (listener) => (fit ? driver.watch(planId, (watch) => watch.changes.add(listener)) : unsubscribed),
    onEvents: (listener) => (fit ? driver.watch(planId, (watch) => watch.events.add(listener)) : unsubscribed),
    recent: () => driver.watchOf(planId)?.recent ?? none,
  };
}

/** Opens a link whose code is loaded on demand, since few pages need it. Frames sent meanwhile are queued. */
function lazyLink(load: () => Promise<(options: LinkOptions) => Link>): (options: LinkOptions) => Link {
  return (options) => {
    let link: Link | undefined;
    let closed = false;
    const waiting: ClientFrame[] = [];
    load().then(
      (open) => {
        if (closed) return;
        link = open(options);
        for (const frame of waiting.splice(0)) link.send(frame);
      },
      (error: unknown) => closed || options.listener.closed(BROKEN, messageOf(error)),
    );
    return {
      send: (frame) => (link ? link.send(frame) : void waiting.push(frame)),
      close: (code, reason) => {
        closed = true;
        link?.close(code, reason);
      },
    };
  };
}
