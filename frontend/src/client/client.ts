/** A client of a hub: `createClient`. */
import type { EventFrame, Place, SignalName } from "../wire/index.js";
import type { Connection, Transport } from "./core/connection.js";
import { Driver } from "./driver.js";
import { type Environment, environmentOf } from "./environment.js";
import { PlancastError } from "./errors.js";
import { Http } from "./http.js";
import { type HubApi, hubApi, uniqueId } from "./hub_api.js";
import { openLate } from "./lines/late.js";
import { openWebSocket } from "./lines/websocket.js";
import type { PlanStore, PlanView } from "./plan_store.js";
import { type FetchToken, TokenSource } from "./token_source.js";

/** So many stores are kept, to be given again; of the same plan, any two show the same. */
const STORES = 1_000;
const PLAN_ID = /^[A-Za-z0-9._:@~-]{1,128}$/;

export interface ClientOptions {
  /** The hub's address, as https://hub.example; left out, the page's own origin. */
  readonly url?: string | undefined;
  /** A token that stays the same. */
  readonly token?: string | undefined;
  /** Gives a fresh token: before each connection, and before the old one expires. */
  readonly fetchToken?: FetchToken | undefined;
  /** The ways to try, best first. */
  readonly transports?: readonly Transport[] | undefined;
  /** How long a plan stays subscribed after its last watcher left; 2000. */
  readonly lingerMs?: number | undefined;
  /** How many of a plan's newest events `recent` keeps; 1000. */
  readonly historyLimit?: number | undefined;
  /** What to use instead of what is global. */
  readonly environment?: Partial<Environment> | undefined;
}

/** Something to look at, and to be told when it has changed. */
export interface Store<State> {
  readonly getSnapshot: () => State;
  readonly subscribe: (listener: () => void) => () => void;
}

export interface Client extends HubApi {
  /** A plan to be watched. */
  plan(planId: string): PlanStore;
  readonly connection: Store<Connection>;
  /** Answers what the plan asks. Settles with the answer's place when the hub has taken it; said again after a break, taken once. */
  answer(planId: string, requestId: string, answer: unknown): Promise<Place | null>;
  /** Settles when the signal reached whoever runs the plan; the plan itself says when it obeyed. */
  signal(planId: string, signal: SignalName): Promise<void>;
  /** Connects at once, also after a refusal. */
  retry(): void;
  /** Ends it all. */
  close(): void;
}

export function createClient(options: ClientOptions = {}): Client {
  const environment = environmentOf(options.environment);
  const base = (options.url ?? environment.origin ?? "").replace(/\/+$/, "");
  if (!/^https?:\/\//.test(base)) {
    throw new TypeError(`createClient: url is to be the hub's address, as https://hub.example, not "${base}"`);
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
      sse: openLate(async () => (await import("./lines/fallback.js")).openEventStream),
      polling: openLate(async () => (await import("./lines/fallback.js")).openPolling),
    },
    lingerMs,
    historyLimit,
  });
  const stores = new Map<string, PlanStore>();
  return {
    plan(planId) {
      const store = stores.get(planId) ?? storeOf(driver, planId);
      stores.delete(planId); // and to the end, as the one that was asked for last
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
      const { accepted } = await driver.ask({ type: "plan_input", ...about, answer: answer ?? null });
      if (accepted?.type !== "input_accepted" || accepted.epoch === undefined) return null;
      return { epoch: accepted.epoch, offset: accepted.offset ?? 0 };
    },
    async signal(planId, signal) {
      const request_id = uniqueId(environment.random);
      await driver.ask({ type: "plan_signal", plan_id: planId, signal, request_id });
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
  const nobody = () => undefined;
  const none: readonly EventFrame[] = [];
  return {
    planId,
    getSnapshot: () => driver.watchOf(planId)?.view ?? unwatched,
    subscribe: (listener) => (fit ? driver.watch(planId, (watch) => watch.changes.add(listener)) : nobody),
    onEvents: (listener) => (fit ? driver.watch(planId, (watch) => watch.events.add(listener)) : nobody),
    recent: () => driver.watchOf(planId)?.recent ?? none,
  };
}
