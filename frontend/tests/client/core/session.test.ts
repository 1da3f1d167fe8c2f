/** How a client finds its line, keeps it, and finds another: section 10 of docs/PROTOCOL.md. */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { isFinalClose, isFinalEnding } from "../../../src/client/core/codes.js";
import type { Place } from "../../../src/client/index.js";
import { Bench } from "./bench.js";

const place: Place = { epoch: "e", offset: 41 };

describe("connecting", () => {
  test("the first plan opens a line; each plan is asked for once connected", () => {
    const bench = new Bench().follow("a").follow("b");
    expect(bench.deeds()).toEqual(["open"]);
    expect(bench.session.connection).toEqual({ status: "connecting", transport: "websocket" });
    bench.connected();
    expect(bench.status).toBe("catching_up");
    expect(bench.said()).toMatchObject([
      { type: "subscribe_plan", plan_id: "a", since: "snapshot" },
      { type: "subscribe_plan", plan_id: "b", since: "snapshot" },
    ]);
  });

  test("it is live once every plan is; a plan that comes later doesn't change that", () => {
    const bench = new Bench().live("a");
    expect(bench.session.connection).toEqual({ status: "live", transport: "websocket" });
    bench.follow("b");
    expect(bench.status).toBe("live");
    expect(bench.session.watching.begin("b").live).toBe(false);
  });

  test("K-RES-1: after a break each plan is asked for from its place", () => {
    const bench = new Bench().live("p", place).drop().pass(250).connected();
    expect(bench.said()).toMatchObject([{ type: "subscribe_plan", plan_id: "p", since: place }]);
  });

  test("K-PLC-4: a plan that is left is taken back, and its frames are nothing", () => {
    const bench = new Bench().live("p").live("q");
    bench.do((session, now) => session.leave("p", now));
    expect(bench.said()).toEqual([{ type: "unsubscribe_plan", plan_id: "p" }]);
    bench.hear({ type: "snapshot", plan_id: "p", ...place, data: {} as never });
    expect(bench.take()).toEqual([]);
  });

  test("with nothing to watch, the line is kept a little, and let go", () => {
    const bench = new Bench().live("p");
    bench.do((session, now) => session.leave("p", now)).pass(4_999);
    expect(bench.deeds()).toEqual([]);
    bench
      .follow("q")
      .do((session, now) => session.leave("q", now))
      .pass(5_000);
    expect(bench.deeds()).toEqual(["close"]);
    expect(bench.status).toBe("idle");
    expect(bench.session.due()).toBe(Infinity);
    expect(bench.follow("p").deeds()).toEqual(["open"]);
  });

  test("a line that shows nothing in ten seconds is given up", () => {
    const bench = new Bench().follow().pass(9_999);
    expect(bench.deeds()).toEqual(["open"]);
    expect(bench.pass(1).deeds()).toEqual(["close"]);
    expect(bench.session.connection).toMatchObject({ status: "reconnecting", reason: "no answer in time" });
  });

  test("frames of types it doesn't know are nothing to it", () => {
    const bench = new Bench().live();
    bench.hear({ type: "weather", plan_id: "p" } as never).hear({ type: "news" } as never);
    expect(bench.take()).toEqual([]);
    expect(bench.status).toBe("live");
  });

  test("closed is closed", () => {
    const bench = new Bench().live();
    bench.do((session, now) => session.close(now));
    expect(bench.deeds()).toEqual(["close"]);
    bench
      .follow("q")
      .do((session, now) => session.retry(now))
      .look(true)
      .pass(60_000);
    expect(bench.deeds()).toEqual([]);
    expect(bench.status).toBe("closed");
  });
});

describe("coming back", () => {
  const waits = (random: number) => {
    const bench = new Bench({ random: () => random, transports: ["websocket"] }).live();
    return Array.from({ length: 8 }, () => {
      const { connection } = bench.drop().session;
      if (connection.status !== "reconnecting") throw new Error(connection.status);
      bench.pass(connection.inMs);
      return connection.inMs;
    });
  };

  test("K-REC-1: 0.25 s and a random time that doubles, up to 20 s; the first is quick", () => {
    expect(waits(0)).toEqual(Array.from({ length: 8 }, () => 250));
    expect(waits(1)).toEqual([750, 1_250, 2_250, 4_250, 8_250, 16_250, 20_250, 20_250]);
  });

  test("what is shown says how often, how long and why", () => {
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

  test("the tries are counted anew after a connection that lasted", () => {
    const bench = new Bench({ random: () => 1 }).live().drop().pass(750).connected().joined().drop();
    expect(bench.session.connection).toMatchObject({ attempt: 2 });
    bench.pass(1_250).connected().joined();
    for (let beat = 0; beat < 3; beat++) bench.pass(10_000).hear(null);
    expect(bench.drop().session.connection).toMatchObject({ attempt: 1, inMs: 750 });
  });

  test("the hub's hint counts more, in its words or with the close", () => {
    const bench = new Bench().live().hear({ type: "going_away", reconnect_after_ms: 1830 }).drop(1012);
    expect(bench.session.connection).toMatchObject({ inMs: 1_830 });
    expect(new Bench().live().drop(1012, "", 2_000).session.connection).toMatchObject({ inMs: 2_000 });
  });

  test("a hub's number decides whether to come back, as codes.json says", () => {
    const codes = JSON.parse(readFileSync(new URL("../../../../docs/codes.json", import.meta.url), "utf8")) as {
      readonly close: readonly { readonly code: number; readonly reconnect: boolean }[];
      readonly subscription: readonly { readonly code: number; readonly resubscribe?: boolean }[];
    };
    for (const { code, reconnect } of codes.close) expect(isFinalClose(code), String(code)).toBe(!reconnect);
    expect(codes.close.length).toBeGreaterThan(10);
    expect([2403, 2404, 2500, 2501].map(isFinalEnding)).toEqual([true, true, false, false]);
    expect([4499, 4500, 4599, 4600, 1006].map(isFinalClose)).toEqual([false, true, true, false, false]);
  });

  test("K-REC-4: after a final close it stops, and says why, until somebody wants it to try again", () => {
    const bench = new Bench().live().drop(4504, "not from this page").pass(600_000).look(true);
    expect(bench.deeds()).toEqual(["close"]);
    expect(bench.session.connection).toEqual({ status: "refused", code: 4504, reason: "not from this page" });
    bench.do((session, now) => session.retry(now));
    expect(bench.deeds()).toEqual(["open"]);
  });

  test("K-REC-2: a hidden page waits; being seen again tries at once", () => {
    const bench = new Bench().live().look(false).drop().pass(600_000);
    expect(bench.deeds()).toEqual(["close"]);
    expect(bench.look(true).deeds()).toEqual(["open"]);
  });

  test("K-REC-2: online again tries at once; without a network it says so, and still tries", () => {
    const bench = new Bench({ random: () => 1 }).live().look(true, false).drop();
    expect(bench.status).toBe("offline");
    expect(bench.deeds()).toContain("close");
    expect(bench.look(true, true).deeds()).toEqual(["open"]);
    bench.look(true, false).drop();
    expect(bench.pass(20_250).deeds()).toContain("open");
  });

  test("a page that is let go while it waits has nothing to come back for", () => {
    const bench = new Bench().live().drop();
    bench.do((session, now) => session.leave("p", now)).pass(60_000);
    expect(bench.deeds()).toEqual(["close"]);
    expect(bench.status).toBe("idle");
  });
});

describe("K-HBT-1: silence", () => {
  test("after 25 s it asks; 40 s without a frame are the end of the line", () => {
    const bench = new Bench().live().pass(24_999);
    expect(bench.said()).toEqual([]);
    expect(bench.pass(1).said()).toEqual([{ type: "ping" }]);
    expect(bench.pass(14_999).take()).toEqual([]);
    expect(bench.pass(1).deeds()).toEqual(["close"]);
    expect(bench.session.connection).toMatchObject({
      status: "reconnecting",
      reason: "nothing was heard for too long",
    });
  });

  test("an answer is enough", () => {
    const bench = new Bench().live().pass(25_000).hear({ type: "pong" }).pass(24_999);
    expect(bench.deeds()).toEqual([]);
    expect(bench.status).toBe("live");
  });

  test("timers that come late don't condemn a line that wasn't asked", () => {
    const bench = new Bench().live();
    bench.now = 300_000; // the computer slept
    bench.do((session, now) => session.tick(now));
    expect(bench.said()).toEqual([{ type: "ping" }]);
    expect(bench.pass(9_999).take()).toEqual([]);
    expect(bench.pass(1).deeds()).toEqual(["close"]);
  });

  test.each([
    ["a page that is seen again", (bench: Bench) => bench.look(false).look(true)],
    ["a page that was woken", (bench: Bench) => bench.look(true)],
    ["a network that changed", (bench: Bench) => bench.look(true, false)],
  ])("%s puts its line to the test", (_, change) => {
    const bench = new Bench().live();
    expect(change(bench).said()).toEqual([{ type: "ping" }]);
    expect(bench.pass(4_999).take()).toEqual([]);
    expect(bench.pass(1).deeds()).toEqual(["close"]);
  });
});

describe("plainer transports", () => {
  const blocked = () => new Bench().follow().drop().pass(250).drop();

  test("two lines that never came up, and a hub that answers: something between is in the way", () => {
    const bench = blocked();
    expect(bench.deeds()).toEqual(["open", "close", "open", "close", "look_for_hub"]);
    bench.do((session, now) => session.hubFound(true, now));
    expect(bench.session.connection).toEqual({ status: "connecting", transport: "sse" });
    expect(bench.take().filter((effect) => effect.do !== "plan_changed")).toMatchObject([
      { do: "open", transport: "sse" },
      { do: "send", frame: { type: "subscribe_plan" } },
      { do: "connection_changed" },
    ]);
  });

  test("a hub that doesn't answer is only away", () => {
    const bench = blocked().do((session, now) => session.hubFound(false, now));
    expect(bench.status).toBe("reconnecting");
    bench.take();
    bench.pass(1_000);
    expect(bench.take()).toContainEqual({ do: "open", line: 3, transport: "websocket", token: undefined });
  });

  test("lines that came up and broke are no reason", () => {
    const bench = new Bench().follow().connected().drop().pass(250).connected().drop();
    expect(bench.deeds()).not.toContain("look_for_hub");
  });

  test("a stream is live when it has carried something; two that carry nothing end at polling", () => {
    const bench = blocked().do((session, now) => session.hubFound(true, now));
    expect(bench.joined().session.connection).toEqual({ status: "live", transport: "sse" });
    const held = blocked()
      .do((session, now) => session.hubFound(true, now))
      .pass(10_250)
      .pass(10_000);
    expect(held.deeds()).toContain("look_for_hub");
    held.do((session, now) => session.hubFound(true, now)).hear(null);
    expect(held.session.connection).toMatchObject({ transport: "polling" });
    expect(held.status).toBe("catching_up");
    expect(held.joined().status).toBe("polling");
  });

  test("it climbs back: a better line is tried beside, and takes over with the places", () => {
    const bench = blocked()
      .do((session, now) => session.hubFound(true, now))
      .joined(place);
    const old = bench.line;
    bench
      .pass(29_999 - 25_000)
      .hear(null, old)
      .pass(25_000);
    bench.take();
    bench.hear(null, old).pass(1);
    expect(bench.take()).toMatchObject([{ do: "open", transport: "websocket" }]);
    expect(bench.session.connection).toEqual({ status: "live", transport: "sse" });
    bench.connected();
    expect(bench.take().filter((effect) => effect.do !== "plan_changed")).toMatchObject([
      { do: "close", line: old },
      { do: "send", line: bench.line, frame: { type: "subscribe_plan", since: place } },
      { do: "connection_changed" },
    ]);
    bench.hear({ type: "pong" }, old);
    expect(bench.take()).toEqual([]);
  });

  test("it doesn't climb while a request is under way, and tries again later", () => {
    const bench = blocked()
      .do((session, now) => session.hubFound(true, now))
      .joined(place);
    const old = bench.line;
    const climbs = () => {
      bench.pass(15_000).hear(null, old).pass(15_000).hear(null, old);
      return bench.take().filter(({ do: what }) => what === "open");
    };
    expect(climbs()).toMatchObject([{ transport: "websocket" }]);
    const signal = { type: "plan_signal", plan_id: "p", signal: "pause", request_id: "r" } as const;
    bench.do((session, now) => session.ask(1, signal, now, 60_000)).take();
    bench.connected();
    expect(bench.take()).toMatchObject([{ do: "close", line: bench.line }]);
    bench.hear({ type: "signal_accepted", plan_id: "p", signal: "pause", request_id: "r" }, old);
    expect(bench.take()).toMatchObject([{ do: "settle", outcome: { id: 1, error: null } }]);
    expect(climbs()).toMatchObject([{ transport: "websocket" }]);
    bench.connected();
    expect(bench.take()).toContainEqual(expect.objectContaining({ do: "close", line: old }));
  });

  test("what doesn't get through yet is tried less and less often", () => {
    const bench = blocked()
      .do((session, now) => session.hubFound(true, now))
      .joined();
    const sse = bench.line;
    const tries: number[] = [];
    for (let second = 1; second <= 400; second++) {
      bench.pass(1_000).hear(null, sse);
      if (bench.take().some((effect) => effect.do === "open")) {
        tries.push(second);
        bench.drop();
        bench.line = sse;
      }
    }
    expect(tries).toEqual([30, 90, 210]);
    expect(bench.status).toBe("live");
  });

  test("from polling, streams are tried when WebSockets don't come", () => {
    const bench = new Bench();
    blockedTwice(bench);
    const polling = bench.line;
    bench.joined(place).pass(20_000).hear(null, polling).pass(10_000);
    expect(bench.take().filter((effect) => effect.do === "open")).toMatchObject([{ transport: "websocket" }]);
    bench.drop();
    expect(bench.take()).toMatchObject([
      { do: "close" },
      { do: "open", transport: "sse" },
      { do: "send", frame: { type: "subscribe_plan", since: place } },
    ]);
    bench.connected();
    expect(bench.joined(place).session.connection).toEqual({ status: "live", transport: "sse" });
  });

  function blockedTwice(bench: Bench): void {
    bench.follow();
    for (let step = 0; step < 2; step++) {
      bench.drop().pass(20_250).drop();
      bench.do((session, now) => session.hubFound(true, now));
    }
    bench.hear(null);
    expect(bench.session.connection).toMatchObject({ transport: "polling" });
  }
});

describe("tokens", () => {
  const soon = (bench: Bench, ms: number) => new Date(bench.now + ms).toISOString();

  test("a token is shown first; what it allows is asked for then", () => {
    const bench = new Bench({ token: "t1" }).follow().connected();
    expect(bench.said()).toEqual([{ type: "authenticate", token: "t1", request_id: "authentication" }]);
    expect(bench.status).toBe("connecting");
    bench.hear({ type: "authenticated" });
    expect(bench.said()).toMatchObject([{ type: "subscribe_plan" }]);
  });

  test("K-REC-3: a fresh token for each connection, and a while before the old one ends", () => {
    const bench = new Bench({ fetches: true }).follow();
    expect(bench.take()).toContainEqual({ do: "fetch_token", reason: "connect" });
    bench.do((session, now) => session.token("t1", now)).connected();
    bench.hear({ type: "authenticated", expires_at: soon(bench, 600_000) }).joined();
    for (let beat = 0; beat < 57; beat++) bench.pass(10_000).hear(null);
    expect(bench.take()).toContainEqual({ do: "fetch_token", reason: "expiring" });
    bench.do((session, now) => session.token("t2", now));
    expect(bench.said()).toEqual([{ type: "authenticate", token: "t2", request_id: "authentication" }]);
    bench.drop().pass(250);
    expect(bench.take()).toContainEqual({ do: "fetch_token", reason: "connect" });
  });

  test("the end of a token is told by the hub's clock", () => {
    const bench = new Bench({ fetches: true }).follow().do((session, now) => session.token("t1", now));
    const ahead = 3_600_000;
    bench.connected({ server_time: soon(bench, ahead), expires_at: soon(bench, ahead + 10_000) });
    bench
      .hear({ type: "authenticated", expires_at: soon(bench, ahead + 10_000) })
      .joined()
      .take();
    bench.pass(7_999);
    expect(bench.take()).toEqual([]);
    expect(bench.pass(1).take()).toEqual([{ do: "fetch_token", reason: "expiring" }]);
  });

  test("a token that can't be had is tried for again: before a connection, and on one", () => {
    const bench = new Bench({ fetches: true }).follow().do((session, now) => session.tokenFailed("signed out", now));
    expect(bench.session.connection).toMatchObject({
      status: "reconnecting",
      reason: "no token could be had: signed out",
    });
    expect(bench.pass(250).take()).toContainEqual({ do: "fetch_token", reason: "connect" });
    bench.do((session, now) => session.token("t1", now)).connected();
    bench
      .hear({ type: "authenticated", expires_at: soon(bench, 10_000) })
      .joined()
      .take();
    bench.pass(8_000).take();
    bench.do((session, now) => session.tokenFailed("signed out", now)).pass(4_999);
    expect(bench.take()).toEqual([]);
    expect(bench.pass(1).take()).toEqual([{ do: "fetch_token", reason: "expiring" }]);
  });

  test("4440 fetches another; without a way to fetch, it is final", () => {
    const bench = new Bench({ fetches: true })
      .follow()
      .do((session, now) => session.token("t1", now))
      .connected();
    bench.drop(4440, "the token expired").take();
    expect(bench.pass(250).take()).toContainEqual({ do: "fetch_token", reason: "expired" });
    expect(new Bench({ token: "t1" }).follow().connected().drop(4440).status).toBe("refused");
  });

  test("K-END-1: with the token's end go its subscriptions; with a new one they go on from their places", () => {
    const bench = new Bench({ fetches: true })
      .follow()
      .do((session, now) => session.token("t1", now))
      .connected();
    bench.hear({ type: "authenticated" }).joined(place).take();
    bench.hear({ type: "error", code: "token_expired", message: "over", data: { error: "over" } });
    bench.hear({ type: "subscription_ended", plan_id: "p", code: 2501, reason: "the token expired" });
    expect(bench.take()).toContainEqual({ do: "fetch_token", reason: "expired" });
    const follower = bench.session.watching.begin("p");
    expect(follower).toMatchObject({ standing: "expired", error: { code: "token_expired" } });
    bench.do((session, now) => session.token("t2", now)).hear({ type: "authenticated" });
    expect(follower.error).toBeNull();
    expect(bench.said()).toMatchObject([
      { type: "authenticate", token: "t2" },
      { type: "subscribe_plan", since: place },
    ]);
  });

  test("what was forbidden is asked for again with another token, and not with the same", () => {
    const bench = new Bench({ fetches: true })
      .follow()
      .do((session, now) => session.token("t1", now))
      .connected();
    bench.hear({ type: "authenticated" });
    const forbid = () => {
      const asked = bench.said().find((frame) => frame.type === "subscribe_plan");
      const about = { plan_id: "p", request_id: asked?.request_id };
      bench.hear({ type: "error", code: "forbidden", message: "no", ...about, data: { error: "no" } });
      return asked;
    };
    expect(forbid()).toBeDefined();
    expect(bench.session.watching.begin("p")).toMatchObject({ standing: "refused", error: { code: "forbidden" } });
    bench.do((session, now) => session.token("t1", now)).hear({ type: "authenticated" });
    expect(forbid()).toBeUndefined();
    bench.do((session, now) => session.token("t2", now)).hear({ type: "authenticated" });
    expect(forbid()).toBeDefined();
  });

  test("a token of somebody else's needs a connection of its own", () => {
    const bench = new Bench({ fetches: true })
      .follow()
      .do((session, now) => session.token("ann", now))
      .connected();
    bench.hear({ type: "authenticated" }).joined().take();
    bench.do((session, now) => session.token("bob", now));
    const about = { request_id: "authentication", data: { error: "somebody else's" } };
    bench.hear({ type: "error", code: "forbidden", message: "somebody else's", ...about });
    expect(bench.deeds()).toEqual(["close"]);
    expect(bench.pass(250).deeds()).toEqual(["fetch_token"]);
  });
});

describe("K-END-1: subscriptions that end", () => {
  const ended = (code: number) =>
    new Bench().live("p", place).hear({ type: "subscription_ended", plan_id: "p", code, reason: "why" });

  test.each([
    [2403, "forbidden"],
    [2404, "plan_deleted"],
    [2499, "refused"],
  ])("%i is final", (code, name) => {
    const bench = ended(code).pass(1_000);
    expect(bench.said()).toEqual([]);
    expect(bench.session.watching.begin("p")).toMatchObject({
      standing: "refused",
      error: { code: name, message: "why" },
    });
  });

  test("2500: from a snapshot", () => {
    expect(ended(2500).pass(0).said()).toMatchObject([{ type: "subscribe_plan", since: "snapshot" }]);
  });

  test("what may be asked for again is, from its place, when the hub says so or after a while", () => {
    expect(ended(2577).pass(0).said()).toMatchObject([{ type: "subscribe_plan", since: place }]);
    const bench = new Bench().follow().connected();
    const [asked] = bench.said();
    const about = { plan_id: "p", request_id: asked?.type === "subscribe_plan" ? asked.request_id : "" };
    bench.hear({
      type: "error",
      code: "unavailable",
      message: "the log is away",
      ...about,
      retry_after_ms: 700,
      data: { error: "" },
    });
    expect(bench.pass(699).said()).toEqual([]);
    expect(bench.session.watching.begin("p")).toMatchObject({ standing: "resting", error: { code: "unavailable" } });
    expect(bench.pass(1).said()).toMatchObject([{ type: "subscribe_plan" }]);
  });
});
