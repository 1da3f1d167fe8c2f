/** How a session connects, detects a dead connection and reconnects: section 10 of docs/PROTOCOL.md. */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { isFinalClose, isFinalEnding } from "../../../src/client/core/codes.js";
import type { Place } from "../../../src/client/index.js";
import { Bench } from "./bench.js";

const place: Place = { epoch: "e", offset: 41 };

describe("connecting", () => {
  test("the first plan opens a connection; each plan is subscribed once connected", () => {
    const bench = new Bench().follow("a").follow("b");
    expect(bench.effects()).toEqual(["open"]);
    expect(bench.session.connection).toEqual({ status: "connecting", transport: "websocket" });
    bench.connected();
    expect(bench.status).toBe("catching_up");
    expect(bench.sent()).toMatchObject([
      { type: "subscribe_plan", plan_id: "a", since: "snapshot" },
      { type: "subscribe_plan", plan_id: "b", since: "snapshot" },
    ]);
  });

  test("the connection is live once every plan is; a plan added later does not change that", () => {
    const bench = new Bench().live("a");
    expect(bench.session.connection).toEqual({ status: "live", transport: "websocket" });
    bench.follow("b");
    expect(bench.status).toBe("live");
    expect(bench.session.subscriptions.begin("b").live).toBe(false);
  });

  test("K-RES-1: after a reconnect each plan is resumed from its position", () => {
    const bench = new Bench().live("p", place).drop().pass(250).connected();
    expect(bench.sent()).toMatchObject([{ type: "subscribe_plan", plan_id: "p", since: place }]);
  });

  test("K-PLC-4: a plan that is no longer watched is unsubscribed, and its frames are ignored", () => {
    const bench = new Bench().live("p").live("q");
    bench.do((session, now) => session.leave("p", now));
    expect(bench.sent()).toEqual([{ type: "unsubscribe_plan", plan_id: "p" }]);
    bench.receive({ type: "snapshot", plan_id: "p", ...place, data: {} as never });
    expect(bench.take()).toEqual([]);
  });

  test("with nothing to watch, the connection is closed after a while", () => {
    const bench = new Bench().live("p");
    bench.do((session, now) => session.leave("p", now)).pass(4_999);
    expect(bench.effects()).toEqual([]);
    bench
      .follow("q")
      .do((session, now) => session.leave("q", now))
      .pass(5_000);
    expect(bench.effects()).toEqual(["close"]);
    expect(bench.status).toBe("idle");
    expect(bench.session.due()).toBe(Infinity);
    expect(bench.follow("p").effects()).toEqual(["open"]);
  });

  test("a connection that delivers nothing within ten seconds is given up", () => {
    const bench = new Bench().follow().pass(9_999);
    expect(bench.effects()).toEqual(["open"]);
    expect(bench.pass(1).effects()).toEqual(["close"]);
    expect(bench.session.connection).toMatchObject({ status: "reconnecting", reason: "no answer in time" });
  });

  test("frames of unknown types are ignored", () => {
    const bench = new Bench().live();
    bench.receive({ type: "unknown", plan_id: "p" } as never).receive({ type: "news" } as never);
    expect(bench.take()).toEqual([]);
    expect(bench.status).toBe("live");
  });

  test("a closed client stays closed", () => {
    const bench = new Bench().live();
    bench.do((session, now) => session.close(now));
    expect(bench.effects()).toEqual(["close"]);
    bench
      .follow("q")
      .do((session, now) => session.retry(now))
      .page(true)
      .pass(60_000);
    expect(bench.effects()).toEqual([]);
    expect(bench.status).toBe("closed");
  });
});

describe("reconnecting", () => {
  const waits = (random: number) => {
    const bench = new Bench({ random: () => random, transports: ["websocket"] }).live();
    return Array.from({ length: 8 }, () => {
      const { connection } = bench.drop().session;
      if (connection.status !== "reconnecting") throw new Error(connection.status);
      bench.pass(connection.inMs);
      return connection.inMs;
    });
  };

  test("K-REC-1: the delay is 0.25 s plus a random time whose range doubles up to 20 s", () => {
    expect(waits(0)).toEqual(Array.from({ length: 8 }, () => 250));
    expect(waits(1)).toEqual([750, 1_250, 2_250, 4_250, 8_250, 16_250, 20_250, 20_250]);
  });

  test("the state shows the attempt, the delay and the reason", () => {
    const bench = new Bench({ random: () => 0.5 }).live();
    bench.now = 1_000;
    expect(bench.drop(4408, "too slow").session.connection).toEqual({
      status: "reconnecting",
      attempt: 1,
      inMs: 500,
      retryAt: 1_500,
      reason: "too slow",
    });
  });

  test("attempts are counted from one again after a stable connection", () => {
    const bench = new Bench({ random: () => 1 }).live().drop().pass(750).connected().subscribed().drop();
    expect(bench.session.connection).toMatchObject({ attempt: 2 });
    bench.pass(1_250).connected().subscribed();
    for (let beat = 0; beat < 3; beat++) bench.pass(10_000).receive(null);
    expect(bench.drop().session.connection).toMatchObject({ attempt: 1, inMs: 750 });
  });

  test("the hub's hint takes precedence, in a frame or with the close", () => {
    const bench = new Bench().live().receive({ type: "going_away", reconnect_after_ms: 1830 }).drop(1012);
    expect(bench.session.connection).toMatchObject({ inMs: 1_830 });
    expect(new Bench().live().drop(1012, "", 2_000).session.connection).toMatchObject({ inMs: 2_000 });
  });

  test("the close code decides whether to reconnect, as in codes.json", () => {
    const codes = JSON.parse(readFileSync(new URL("../../../../docs/codes.json", import.meta.url), "utf8")) as {
      readonly close: readonly { readonly code: number; readonly reconnect: boolean }[];
      readonly subscription: readonly { readonly code: number; readonly resubscribe?: boolean }[];
    };
    for (const { code, reconnect } of codes.close) expect(isFinalClose(code), String(code)).toBe(!reconnect);
    expect(codes.close.length).toBeGreaterThan(10);
    expect([2403, 2404, 2500, 2501].map(isFinalEnding)).toEqual([true, true, false, false]);
    expect([4499, 4500, 4599, 4600, 1006].map(isFinalClose)).toEqual([false, true, true, false, false]);
  });

  test("K-REC-4: after a final close it stops and shows why, until retry() is called", () => {
    const bench = new Bench().live().drop(4504, "not from this page").pass(600_000).page(true);
    expect(bench.effects()).toEqual(["close"]);
    expect(bench.session.connection).toEqual({ status: "refused", code: 4504, reason: "not from this page" });
    bench.do((session, now) => session.retry(now));
    expect(bench.effects()).toEqual(["open"]);
  });

  test("K-REC-2: a hidden page waits; once visible, it reconnects at once", () => {
    const bench = new Bench().live().page(false).drop().pass(600_000);
    expect(bench.effects()).toEqual(["close"]);
    expect(bench.page(true).effects()).toEqual(["open"]);
  });

  test("K-REC-2: back online, it reconnects at once; offline, it shows that, and still tries", () => {
    const bench = new Bench({ random: () => 1 }).live().page(true, false).drop();
    expect(bench.status).toBe("offline");
    expect(bench.effects()).toContain("close");
    expect(bench.page(true, true).effects()).toEqual(["open"]);
    bench.page(true, false).drop();
    expect(bench.pass(20_250).effects()).toContain("open");
  });

  test("a page whose last plan is left while it waits does not reconnect", () => {
    const bench = new Bench().live().drop();
    bench.do((session, now) => session.leave("p", now)).pass(60_000);
    expect(bench.effects()).toEqual(["close"]);
    expect(bench.status).toBe("idle");
  });
});

describe("K-HBT-1: silence", () => {
  test("a ping after 25 s; after 40 s without a frame, the connection is closed", () => {
    const bench = new Bench().live().pass(24_999);
    expect(bench.sent()).toEqual([]);
    expect(bench.pass(1).sent()).toEqual([{ type: "ping" }]);
    expect(bench.pass(14_999).take()).toEqual([]);
    expect(bench.pass(1).effects()).toEqual(["close"]);
    expect(bench.session.connection).toMatchObject({
      status: "reconnecting",
      reason: "nothing received for too long",
    });
  });

  test("a pong keeps the connection open", () => {
    const bench = new Bench().live().pass(25_000).receive({ type: "pong" }).pass(24_999);
    expect(bench.effects()).toEqual([]);
    expect(bench.status).toBe("live");
  });

  test("a late timer does not close a connection that was not pinged", () => {
    const bench = new Bench().live();
    bench.now = 300_000; // the device slept
    bench.do((session, now) => session.tick(now));
    expect(bench.sent()).toEqual([{ type: "ping" }]);
    expect(bench.pass(9_999).take()).toEqual([]);
    expect(bench.pass(1).effects()).toEqual(["close"]);
  });

  test.each([
    ["a page that becomes visible again", (bench: Bench) => bench.page(false).page(true)],
    ["a page that was resumed", (bench: Bench) => bench.page(true)],
    ["a network that changed", (bench: Bench) => bench.page(true, false)],
  ])("%s pings its connection", (_, change) => {
    const bench = new Bench().live();
    expect(change(bench).sent()).toEqual([{ type: "ping" }]);
    expect(bench.pass(4_999).take()).toEqual([]);
    expect(bench.pass(1).effects()).toEqual(["close"]);
  });
});

describe("simpler transports", () => {
  const blocked = () => new Bench().follow().drop().pass(250).drop();

  test("after two failed connections to a hub that answers HTTP, it falls back", () => {
    const bench = blocked();
    expect(bench.effects()).toEqual(["open", "close", "open", "close", "probe_hub"]);
    bench.do((session, now) => session.hubFound(true, now));
    expect(bench.session.connection).toEqual({ status: "connecting", transport: "sse" });
    expect(bench.take().filter((effect) => effect.do !== "plan_changed")).toMatchObject([
      { do: "open", transport: "sse" },
      { do: "send", frame: { type: "subscribe_plan" } },
      { do: "connection_changed" },
    ]);
  });

  test("it does not fall back if the hub does not answer", () => {
    const bench = blocked().do((session, now) => session.hubFound(false, now));
    expect(bench.status).toBe("reconnecting");
    bench.take();
    bench.pass(1_000);
    expect(bench.take()).toContainEqual({ do: "open", link: 3, transport: "websocket", token: undefined });
  });

  test("it does not fall back after connections that worked and then broke", () => {
    const bench = new Bench().follow().connected().drop().pass(250).connected().drop();
    expect(bench.effects()).not.toContain("probe_hub");
  });

  test("a stream is live once it has delivered something; after two that deliver nothing, it polls", () => {
    const bench = blocked().do((session, now) => session.hubFound(true, now));
    expect(bench.subscribed().session.connection).toEqual({ status: "live", transport: "sse" });
    const held = blocked()
      .do((session, now) => session.hubFound(true, now))
      .pass(10_250)
      .pass(10_000);
    expect(held.effects()).toContain("probe_hub");
    held.do((session, now) => session.hubFound(true, now)).receive(null);
    expect(held.session.connection).toMatchObject({ transport: "polling" });
    expect(held.status).toBe("catching_up");
    expect(held.subscribed().status).toBe("polling");
  });

  test("it moves back up: a better transport is tried in parallel, and resumes from the positions", () => {
    const bench = blocked()
      .do((session, now) => session.hubFound(true, now))
      .subscribed(place);
    const old = bench.link;
    bench
      .pass(29_999 - 25_000)
      .receive(null, old)
      .pass(25_000);
    bench.take();
    bench.receive(null, old).pass(1);
    expect(bench.take()).toMatchObject([{ do: "open", transport: "websocket" }]);
    expect(bench.session.connection).toEqual({ status: "live", transport: "sse" });
    bench.connected();
    expect(bench.take().filter((effect) => effect.do !== "plan_changed")).toMatchObject([
      { do: "close", link: old },
      { do: "send", link: bench.link, frame: { type: "subscribe_plan", since: place } },
      { do: "connection_changed" },
    ]);
    bench.receive({ type: "pong" }, old);
    expect(bench.take()).toEqual([]);
  });

  test("it does not move up while a request is pending, and tries again later", () => {
    const bench = blocked()
      .do((session, now) => session.hubFound(true, now))
      .subscribed(place);
    const old = bench.link;
    const upgrades = () => {
      bench.pass(15_000).receive(null, old).pass(15_000).receive(null, old);
      return bench.take().filter(({ do: what }) => what === "open");
    };
    expect(upgrades()).toMatchObject([{ transport: "websocket" }]);
    const signal = { type: "plan_signal", plan_id: "p", signal: "pause", request_id: "r" } as const;
    bench.do((session, now) => session.request(1, signal, now, 60_000)).take();
    bench.connected();
    expect(bench.take()).toMatchObject([{ do: "close", link: bench.link }]);
    bench.receive({ type: "signal_accepted", plan_id: "p", signal: "pause", request_id: "r" }, old);
    expect(bench.take()).toMatchObject([{ do: "settle", outcome: { id: 1, error: null } }]);
    expect(upgrades()).toMatchObject([{ transport: "websocket" }]);
    bench.connected();
    expect(bench.take()).toContainEqual(expect.objectContaining({ do: "close", link: old }));
  });

  test("a transport that does not get through is tried less and less often", () => {
    const bench = blocked()
      .do((session, now) => session.hubFound(true, now))
      .subscribed();
    const sse = bench.link;
    const tries: number[] = [];
    for (let second = 1; second <= 400; second++) {
      bench.pass(1_000).receive(null, sse);
      if (bench.take().some((effect) => effect.do === "open")) {
        tries.push(second);
        bench.drop();
        bench.link = sse;
      }
    }
    expect(tries).toEqual([30, 90, 210]);
    expect(bench.status).toBe("live");
  });

  test("from polling, streams are tried if WebSockets fail", () => {
    const bench = new Bench();
    blockedTwice(bench);
    const polling = bench.link;
    bench.subscribed(place).pass(20_000).receive(null, polling).pass(10_000);
    expect(bench.take().filter((effect) => effect.do === "open")).toMatchObject([{ transport: "websocket" }]);
    bench.drop();
    expect(bench.take()).toMatchObject([
      { do: "close" },
      { do: "open", transport: "sse" },
      { do: "send", frame: { type: "subscribe_plan", since: place } },
    ]);
    bench.connected();
    expect(bench.subscribed(place).session.connection).toEqual({ status: "live", transport: "sse" });
  });

  function blockedTwice(bench: Bench): void {
    bench.follow();
    for (let step = 0; step < 2; step++) {
      bench.drop().pass(20_250).drop();
      bench.do((session, now) => session.hubFound(true, now));
    }
    bench.receive(null);
    expect(bench.session.connection).toMatchObject({ transport: "polling" });
  }
});

describe("tokens", () => {
  const soon = (bench: Bench, ms: number) => new Date(bench.now + ms).toISOString();

  test("it authenticates first, and subscribes after that", () => {
    const bench = new Bench({ token: "t1" }).follow().connected();
    expect(bench.sent()).toEqual([{ type: "authenticate", token: "t1", request_id: "authentication" }]);
    expect(bench.status).toBe("connecting");
    bench.receive({ type: "authenticated" });
    expect(bench.sent()).toMatchObject([{ type: "subscribe_plan" }]);
  });

  test("K-REC-3: a fresh token for each connection, and before the current one expires", () => {
    const bench = new Bench({ fetches: true }).follow();
    expect(bench.take()).toContainEqual({ do: "fetch_token", reason: "connect" });
    bench.do((session, now) => session.token("t1", now)).connected();
    bench.receive({ type: "authenticated", expires_at: soon(bench, 600_000) }).subscribed();
    for (let beat = 0; beat < 57; beat++) bench.pass(10_000).receive(null);
    expect(bench.take()).toContainEqual({ do: "fetch_token", reason: "expiring" });
    bench.do((session, now) => session.token("t2", now));
    expect(bench.sent()).toEqual([{ type: "authenticate", token: "t2", request_id: "authentication" }]);
    bench.drop().pass(250);
    expect(bench.take()).toContainEqual({ do: "fetch_token", reason: "connect" });
  });

  test("a token's expiry is measured by the hub's clock", () => {
    const bench = new Bench({ fetches: true }).follow().do((session, now) => session.token("t1", now));
    const ahead = 3_600_000;
    bench.connected({ server_time: soon(bench, ahead), expires_at: soon(bench, ahead + 10_000) });
    bench
      .receive({ type: "authenticated", expires_at: soon(bench, ahead + 10_000) })
      .subscribed()
      .take();
    bench.pass(7_999);
    expect(bench.take()).toEqual([]);
    expect(bench.pass(1).take()).toEqual([{ do: "fetch_token", reason: "expiring" }]);
  });

  test("a failed token fetch is retried, before a connection and on one", () => {
    const bench = new Bench({ fetches: true }).follow().do((session, now) => session.tokenFailed("signed out", now));
    expect(bench.session.connection).toMatchObject({
      status: "reconnecting",
      reason: "no token: signed out",
    });
    expect(bench.pass(250).take()).toContainEqual({ do: "fetch_token", reason: "connect" });
    bench.do((session, now) => session.token("t1", now)).connected();
    bench
      .receive({ type: "authenticated", expires_at: soon(bench, 10_000) })
      .subscribed()
      .take();
    bench.pass(8_000).take();
    bench.do((session, now) => session.tokenFailed("signed out", now)).pass(4_999);
    expect(bench.take()).toEqual([]);
    expect(bench.pass(1).take()).toEqual([{ do: "fetch_token", reason: "expiring" }]);
  });

  test("4440 fetches another token; without fetchToken, it is final", () => {
    const bench = new Bench({ fetches: true })
      .follow()
      .do((session, now) => session.token("t1", now))
      .connected();
    bench.drop(4440, "the token expired").take();
    expect(bench.pass(250).take()).toContainEqual({ do: "fetch_token", reason: "expired" });
    expect(new Bench({ token: "t1" }).follow().connected().drop(4440).status).toBe("refused");
  });

  test("K-END-1: subscriptions end with the token; with a new one they resume from their positions", () => {
    const bench = new Bench({ fetches: true })
      .follow()
      .do((session, now) => session.token("t1", now))
      .connected();
    bench.receive({ type: "authenticated" }).subscribed(place).take();
    bench.receive({ type: "error", code: "token_expired", message: "over", data: { error: "over" } });
    bench.receive({ type: "subscription_ended", plan_id: "p", code: 2501, reason: "the token expired" });
    expect(bench.take()).toContainEqual({ do: "fetch_token", reason: "expired" });
    const subscription = bench.session.subscriptions.begin("p");
    expect(subscription).toMatchObject({ state: "expired", error: { code: "token_expired" } });
    bench.do((session, now) => session.token("t2", now)).receive({ type: "authenticated" });
    expect(subscription.error).toBeNull();
    expect(bench.sent()).toMatchObject([
      { type: "authenticate", token: "t2" },
      { type: "subscribe_plan", since: place },
    ]);
  });

  test("a forbidden plan is requested again with another token, not with the same one", () => {
    const bench = new Bench({ fetches: true })
      .follow()
      .do((session, now) => session.token("t1", now))
      .connected();
    bench.receive({ type: "authenticated" });
    const forbid = () => {
      const asked = bench.sent().find((frame) => frame.type === "subscribe_plan");
      const about = { plan_id: "p", request_id: asked?.request_id };
      bench.receive({ type: "error", code: "forbidden", message: "no", ...about, data: { error: "no" } });
      return asked;
    };
    expect(forbid()).toBeDefined();
    expect(bench.session.subscriptions.begin("p")).toMatchObject({ state: "refused", error: { code: "forbidden" } });
    bench.do((session, now) => session.token("t1", now)).receive({ type: "authenticated" });
    expect(forbid()).toBeUndefined();
    bench.do((session, now) => session.token("t2", now)).receive({ type: "authenticated" });
    expect(forbid()).toBeDefined();
  });

  test("a token of another user needs a separate connection", () => {
    const bench = new Bench({ fetches: true })
      .follow()
      .do((session, now) => session.token("ann", now))
      .connected();
    bench.receive({ type: "authenticated" }).subscribed().take();
    bench.do((session, now) => session.token("bob", now));
    const about = { request_id: "authentication", data: { error: "another user's" } };
    bench.receive({ type: "error", code: "forbidden", message: "another user's", ...about });
    expect(bench.effects()).toEqual(["close"]);
    expect(bench.pass(250).effects()).toEqual(["fetch_token"]);
  });
});

describe("K-END-1: subscriptions that end", () => {
  const ended = (code: number) =>
    new Bench().live("p", place).receive({ type: "subscription_ended", plan_id: "p", code, reason: "why" });

  test.each([
    [2403, "forbidden"],
    [2404, "plan_deleted"],
    [2499, "refused"],
  ])("%i is final", (code, name) => {
    const bench = ended(code).pass(1_000);
    expect(bench.sent()).toEqual([]);
    expect(bench.session.subscriptions.begin("p")).toMatchObject({
      state: "refused",
      error: { code: name, message: "why" },
    });
  });

  test("2500 resubscribes with a snapshot", () => {
    expect(ended(2500).pass(0).sent()).toMatchObject([{ type: "subscribe_plan", since: "snapshot" }]);
  });

  test("other ends resubscribe from the position, after the hub's delay or with backoff", () => {
    expect(ended(2577).pass(0).sent()).toMatchObject([{ type: "subscribe_plan", since: place }]);
    const bench = new Bench().follow().connected();
    const [asked] = bench.sent();
    const about = { plan_id: "p", request_id: asked?.type === "subscribe_plan" ? asked.request_id : "" };
    bench.receive({
      type: "error",
      code: "unavailable",
      message: "the log is away",
      ...about,
      retry_after_ms: 700,
      data: { error: "" },
    });
    expect(bench.pass(699).sent()).toEqual([]);
    expect(bench.session.subscriptions.begin("p")).toMatchObject({ state: "retrying", error: { code: "unavailable" } });
    expect(bench.pass(1).sent()).toMatchObject([{ type: "subscribe_plan" }]);
  });
});
