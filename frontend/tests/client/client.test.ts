/** The client with a scripted hub: connections, subscriptions, and notifications. */
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import {
  type Client,
  type ClientOptions,
  createClient,
  type Environment,
  PlancastError,
  type PlanView,
} from "../../src/client/index.js";
import { message, planUpdate, ScriptedHub } from "../scripted_hub.js";

let hub: ScriptedHub;
const clients: Client[] = [];

beforeEach(() => {
  vi.useFakeTimers();
  hub = new ScriptedHub();
});
afterEach(() => {
  for (const client of clients.splice(0)) client.close();
  vi.useRealTimers();
});

function client(options: ClientOptions = {}): Client {
  const one = hub.client({ ...options, environment: { random: () => 0, ...options.environment } });
  clients.push(one);
  return one;
}

const settle = (ms = 50) => vi.advanceTimersByTimeAsync(ms);

describe("plans", () => {
  test("any number of watchers of any number of plans: one connection, one subscription each", async () => {
    const one = client();
    const stops = ["a", "b", "a", "b", "a"].map((plan) => one.plan(plan).subscribe(() => undefined));
    await settle();
    expect(hub.sockets).toHaveLength(1);
    expect(hub.received.map(({ plan_id }) => plan_id)).toEqual(["a", "b"]);
    expect(one.plan("a").getSnapshot()).toBe(one.plan("a").getSnapshot());
    for (const stop of stops) stop();
  });

  test("a plan is unsubscribed once, some time after its last watcher left", async () => {
    const one = client();
    const [first, second] = [one.plan("p").subscribe(() => undefined), one.plan("p").onEvents(() => undefined)];
    await settle();
    first();
    first();
    await settle(10_000);
    expect(hub.received).toHaveLength(1);
    second();
    await settle(1_999);
    const again = one.plan("p").subscribe(() => undefined);
    await settle(10_000);
    expect(hub.received).toHaveLength(1);
    again();
    await settle(2_000);
    expect(hub.received.map(({ type }) => type)).toEqual(["subscribe_plan", "unsubscribe_plan"]);
    expect(one.plan("p").getSnapshot()).toMatchObject({ snapshot: null, phase: "waiting" });
    await settle(5_000);
    expect(one.connection.getSnapshot()).toEqual({ status: "idle" });
    expect(vi.getTimerCount()).toBe(0);
  });

  test("an invalid plan id is refused without a request", async () => {
    const one = client();
    const stop = one.plan("not a plan/id").subscribe(() => undefined);
    await settle();
    expect(one.plan("not a plan/id").getSnapshot()).toMatchObject({
      phase: "refused",
      error: { code: "invalid_plan_id" },
    });
    expect(hub.sockets).toHaveLength(0);
    stop();
  });

  test("each event is delivered once, in order, when it is in the snapshot", async () => {
    const one = client();
    hub.publish("p", message("1"));
    const received: [number, number | undefined][] = [];
    one.plan("p").onEvents((events) => {
      const { snapshot } = one.plan("p").getSnapshot();
      for (const { offset } of events) received.push([offset, snapshot?.offset]);
    });
    await settle();
    hub.publish("p", message("2"), message("3"));
    await settle();
    hub.sockets[0]?.drop();
    hub.publish("p", message("4"));
    await settle(1_000);
    expect(received).toEqual([
      [2, 3],
      [3, 3],
      [4, 4],
    ]);
  });

  test("recent() keeps the newest events up to the limit, without a gap; a snapshot empties it", async () => {
    const one = client({ historyLimit: 3 });
    const { recent, subscribe } = one.plan("p");
    const offsets = () => recent().map(({ offset }) => offset);
    hub.publish("p", message("1"));
    const stop = subscribe(() => undefined);
    await settle();
    expect(offsets()).toEqual([]);
    hub.publish("p", message("2"));
    await settle();
    expect(offsets()).toEqual([2]);
    hub.publish("p", message("3"), message("4"), message("5"));
    await settle();
    expect(offsets()).toEqual([3, 4, 5]);
    expect(recent()).toBe(one.plan("p").recent());
    const place = { epoch: "f", offset: 7 };
    const { snapshot } = one.plan("p").getSnapshot();
    hub.sockets[0]?.deliver({ type: "snapshot", plan_id: "p", ...place, data: snapshot });
    await settle();
    expect(offsets()).toEqual([]);
    hub.sockets[0]?.deliver({ ...message("8"), plan_id: "p", epoch: "f", offset: 8, id: "f-8" });
    await settle();
    expect(offsets()).toEqual([8]);
    stop();
    await settle(2_000);
    expect(offsets()).toEqual([]);
  });

  test("a lost connection is shown at once, with all events received over it", async () => {
    const one = client();
    one.plan("p").subscribe(() => undefined);
    await settle();
    hub.publish("p", message("1"));
    await settle(1);
    hub.publish("p", message("2"));
    hub.sockets[0]?.drop();
    expect(one.plan("p").getSnapshot()).toMatchObject({ phase: "waiting", place: { offset: 2 } });
  });

  test("the store of a plan is reused, up to a limit of stores", () => {
    const one = client();
    const store = one.plan("p");
    expect(one.plan("p")).toBe(store);
    for (let plan = 0; plan < 999; plan++) one.plan(`plan-${plan}`);
    expect(one.plan("p")).toBe(store);
    for (let plan = 0; plan < 1_000; plan++) one.plan(`plan-${plan}`);
    expect(one.plan("p")).not.toBe(store);
    expect(one.plan("plan-999")).toBe(one.plan("plan-999"));
  });

  test("a listener that throws does not keep the others from being called", async () => {
    const one = client();
    const calls = vi.fn();
    one.plan("p").subscribe(() => {
      throw new Error("the page's error");
    });
    one.plan("p").subscribe(calls);
    await expect(settle()).rejects.toThrow("the page's error");
    expect(calls).toHaveBeenCalled();
    vi.clearAllTimers();
  });

  test("a burst causes few notifications, and folding never blocks the page for long", async () => {
    const one = client();
    const views: PlanView[] = [];
    let folded = 0;
    let longest = 0;
    one.plan("p").subscribe(() => views.push(one.plan("p").getSnapshot()));
    one.plan("p").onEvents((events) => {
      folded += events.length;
      longest = Math.max(longest, events.length);
    });
    await settle();
    views.length = 0;
    const tokens = Array.from({ length: 10_000 }, () => message("word ", { message_id: "m", append: true }));
    hub.publish("p", ...tokens);
    expect(one.plan("p").getSnapshot().phase).toBe("live");
    await settle(2_000);
    expect(folded).toBe(10_000);
    expect(longest).toBeLessThanOrEqual(1_024);
    expect(views.length).toBeLessThan(60);
    expect(one.plan("p").getSnapshot()).toMatchObject({ live: true, snapshot: { offset: 10_000 } });
    expect(one.plan("p").getSnapshot().snapshot?.messages[0]?.content).toHaveLength(50_000);
  });
});

describe("the environment", () => {
  test("its events are observed while a connection is needed", async () => {
    const watching = new Set<() => void>();
    const watch: Environment["watch"] = (changed) => {
      watching.add(changed);
      return () => watching.delete(changed);
    };
    const one = client({ environment: { watch } });
    expect(watching.size).toBe(0);
    const stop = one.plan("p").subscribe(() => undefined);
    await settle();
    expect(watching.size).toBe(1);
    stop();
    await settle(10_000);
    expect(watching.size).toBe(0);
    one.plan("p").subscribe(() => undefined);
    await settle();
    one.close();
    expect(watching.size).toBe(0);
    expect(vi.getTimerCount()).toBe(0);
  });

  test("a page that becomes visible reconnects at once", async () => {
    let changed = (): void => undefined;
    let visible = true;
    const watch: Environment["watch"] = (callback) => {
      changed = callback;
      return () => undefined;
    };
    const one = client({ environment: { watch, isVisible: () => visible } });
    one.plan("p").subscribe(() => undefined);
    await settle();
    visible = false;
    changed();
    hub.sockets[0]?.drop();
    await settle(600_000);
    expect(hub.sockets).toHaveLength(1);
    visible = true;
    changed();
    await settle();
    expect(one.connection.getSnapshot().status).toBe("live");
  });

  test("a WebSocket constructor that throws is a failed connection", async () => {
    const made = vi.fn(function () {
      throw new Error("the page's policy forbids it");
    });
    const environment = { WebSocket: made as never, fetch: () => Promise.reject(new TypeError("no network")) };
    const one = client({ environment });
    one.plan("p").subscribe(() => undefined);
    expect(one.connection.getSnapshot()).toMatchObject({
      status: "reconnecting",
      reason: "the page's policy forbids it",
    });
    await settle(1_000);
    expect(made.mock.calls.length).toBeGreaterThan(2);
  });

  test("without WebSocket support, none is tried", async () => {
    const asked: string[] = [];
    const fetching = (url: string) => {
      asked.push(url);
      return new Promise(() => undefined);
    };
    const one = client({ environment: { WebSocket: undefined, fetch: fetching as typeof fetch } });
    one.plan("p").subscribe(() => undefined);
    vi.useRealTimers();
    await vi.waitFor(() => expect(asked).toEqual(["http://hub.test/api/stream?plan=p&since=snapshot"]), {
      timeout: 30_000,
    });
    expect(one.connection.getSnapshot()).toMatchObject({ transport: "sse" });
  });

  test("invalid frames are ignored", async () => {
    const one = client();
    one.plan("p").subscribe(() => undefined);
    await settle();
    for (const data of ["", "null", "[]", "{", '{"no":"type"}', 7]) hub.sockets[0]?.onmessage?.({ data });
    await settle();
    expect(one.connection.getSnapshot().status).toBe("live");
  });

  test("an invalid url throws", () => {
    expect(() => createClient({ url: "hub.example" })).toThrow("createClient: url must be like https://hub.example");
  });
});

describe("tokens", () => {
  test("one is fetched at a time, for the connection and for requests", async () => {
    const reasons: string[] = [];
    const headers: unknown[] = [];
    const fetchToken = ({ reason }: { readonly reason: string }) => {
      reasons.push(reason);
      return new Promise<string>((resolve) => setTimeout(() => resolve(`token ${reasons.length}`), 10));
    };
    let expired = true;
    const fetching = (_: string, init: RequestInit) => {
      headers.push((init.headers as Record<string, string>)["Authorization"]);
      const answer = expired
        ? Response.json({ code: "token_expired", detail: "over" }, { status: 401 })
        : Response.json({ plans: [], cursor: null });
      expired = false;
      return Promise.resolve(answer);
    };
    const one = client({ fetchToken, environment: { fetch: fetching as typeof fetch } });
    one.plan("p").subscribe(() => undefined);
    const listed = one.plans();
    await settle();
    expect(await listed).toEqual({ plans: [], cursor: null });
    expect(reasons).toEqual(["connect", "expired"]);
    expect(headers).toEqual(["Bearer token 1", "Bearer token 2"]);
    expect(hub.received[0]).toMatchObject({ type: "authenticate", token: "token 1" });
  });

  test("a fetch that takes too long times out", async () => {
    const one = client({ fetchToken: () => new Promise(() => undefined) });
    one.plan("p").subscribe(() => undefined);
    await settle(20_000);
    expect(one.connection.getSnapshot()).toMatchObject({
      status: "reconnecting",
      reason: "no token: fetchToken timed out",
    });
  });
});

describe("requests", () => {
  test("a plan is started once, however many attempts it takes", async () => {
    const bodies: { plan_id?: string }[] = [];
    const fetching = (_: string, init: RequestInit) => {
      bodies.push(JSON.parse(init.body as string) as object);
      if (bodies.length === 1) return Promise.reject(new TypeError("fetch failed"));
      if (bodies.length === 2) return Promise.resolve(Response.json({ code: "unavailable" }, { status: 503 }));
      return Promise.resolve(Response.json({ plan_id: bodies[0]?.plan_id, url: "/plan" }, { status: 202 }));
    };
    const one = client({ environment: { fetch: fetching as typeof fetch, random: Math.random } });
    const started = one.start("exhibition", { theme: "Rivers" });
    await settle(10_000);
    expect((await started).planId).toMatch(/^plan-[a-z0-9]{10,}$/);
    expect(new Set(bodies.map(({ plan_id }) => plan_id)).size).toBe(1);
    expect(bodies).toHaveLength(3);
  });

  test("an error has the problem's code, message and field", async () => {
    const problem = { code: "invalid_field", detail: "limit: too many", field: "limit" };
    const fetching = () => Promise.resolve(Response.json(problem, { status: 422, headers: { "Retry-After": "3" } }));
    const failure: unknown = await client({ environment: { fetch: fetching } })
      .plans({ limit: 501 })
      .catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(PlancastError);
    expect(failure).toMatchObject({
      code: "invalid_field",
      message: "limit: too many",
      field: "limit",
      status: 422,
      retryAfterMs: 3_000,
    });
    const html = () => Promise.resolve(new Response("<h1>Bad Gateway</h1>", { status: 502 }));
    await expect(client({ environment: { fetch: html } }).plans()).rejects.toMatchObject({ code: "http_502" });
  });

  test("an abort signal has no listeners of finished requests", async () => {
    const stop = new AbortController();
    const listened = vi.spyOn(stop.signal, "addEventListener");
    const left = vi.spyOn(stop.signal, "removeEventListener");
    const fetching = () => Promise.resolve(Response.json({ events: [] }));
    const one = client({ environment: { fetch: fetching } });
    for (let page = 0; page < 3; page++) await one.events("p", { signal: stop.signal });
    expect(listened).toHaveBeenCalledTimes(3);
    expect(left.mock.calls).toEqual(listened.mock.calls.map(([name, listener]) => [name, listener]));
  });

  test("a request without a response times out", async () => {
    const fetching = (_: string, { signal }: RequestInit) =>
      new Promise<Response>((_, reject) => signal?.addEventListener("abort", () => reject(new Error("aborted"))));
    const failed = expect(client({ environment: { fetch: fetching as typeof fetch } }).plans()).rejects.toMatchObject({
      code: "network",
    });
    await settle(20_000);
    await failed;
  });

  test("an answer and a signal, as the hub receives them", async () => {
    const one = client();
    const answered = one.answer("p", "q", undefined);
    const signalled = one.signal("p", "pause");
    await settle();
    expect(await answered).toEqual({ epoch: "e", offset: 1 });
    await signalled;
    expect(hub.received).toMatchObject([
      { type: "plan_input", request_id: "q", answer: null, idempotency_key: expect.any(String) as string },
      { type: "plan_signal", signal: "pause" },
    ]);
    hub.publish("p", planUpdate({}));
  });
});
