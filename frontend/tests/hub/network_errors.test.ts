/** Network errors between a client and a real hub, on each log: no event is lost or duplicated. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { WebSocket } from "ws";
import type { Client, ClientOptions, Connection, SocketLike } from "../../src/client/index.js";
import { Hub, message } from "./hub.js";
import { Proxy } from "./proxy.js";
import { Redis } from "./redis.js";
import { clientOf, connected, follow, has, live, numbers } from "./watching.js";

describe.each(["sqlite", "redis"])("on %s", (log) => {
  let hub: Hub;
  let redis: Redis | undefined;
  let proxy: Proxy;
  const clients: Client[] = [];
  const publish = (planId: string, from: number, to: number) => hub.publish(planId, numbers(from, to).map(message));

  beforeAll(async () => {
    redis = log === "redis" ? await Redis.start() : undefined;
    hub = await Hub.start(redis && { PLANCAST_LOG: redis.url });
    proxy = await Proxy.before(hub.port);
  });
  afterEach(() => {
    proxy.setAway(false);
    for (const client of clients.splice(0)) client.close();
  });
  afterAll(async () => {
    await proxy.close();
    await hub.close();
    await redis?.close();
  });

  function client(options: ClientOptions = {}): Client {
    const one = clientOf({ url: proxy.url, ...options });
    clients.push(one);
    return one;
  }

  test("many plans, many watchers: one socket, as the hub counts them", async () => {
    const one = client();
    const before = await metric(hub, 'plancast_connections_opened_total{transport="native"}');
    const plans = Array.from({ length: 5 }, (_, at) => `many-${at}`);
    for (const plan of [...plans, ...plans]) follow(one, plan);
    for (const plan of plans) await live(one, plan);
    await counts(hub, 'plancast_subscribers{standing="live"}', plans.length);
    await counts(hub, 'plancast_connections{transport="native"}', 1);
    await counts(hub, 'plancast_connections_opened_total{transport="native"}', before + 1);
  });

  test("the network fails repeatedly while events are published", async () => {
    const one = client();
    const received = follow(one, "cut");
    await live(one, "cut");
    let published = 0;
    for (let cut = 0; cut < 5; cut++) {
      await publish("cut", published + 1, published + 20);
      proxy.setAway(true); // with some of them in flight
      await connected(one, "reconnecting");
      expect(one.plan("cut").getSnapshot()).toMatchObject({ phase: "waiting", live: false });
      await publish("cut", published + 21, published + 40);
      published += 40;
      proxy.setAway(false);
      one.retry();
      await live(one, "cut");
    }
    expect(await has(one, "cut", published)).toEqual(numbers(1, published));
    expect(received.map(({ offset }) => offset)).toEqual(numbers(1, published).map(Number));
    expect(one.plan("cut").recent()).toEqual(received);
  });

  test("a hub that stops sends a reconnect delay; after its restart, no event is missing", async () => {
    const hints: number[] = [];
    const one = client({ environment: { WebSocket: listening(hints), random: () => 0 } });
    await publish("restart", 1, 1);
    const received = follow(one, "restart");
    await live(one, "restart");
    const states: Connection[] = []; // a retry may already have been made when the hub has stopped
    one.connection.subscribe(() => states.push(one.connection.getSnapshot()));
    await hub.end();
    await connected(one, "reconnecting");
    expect(hints).toHaveLength(1);
    expect(states.find(({ status }) => status === "reconnecting")).toMatchObject({ inMs: hints[0], attempt: 1 });
    await hub.begin();
    await publish("restart", 2, 5);
    one.retry();
    expect(await has(one, "restart", 5)).toEqual(numbers(1, 5));
    expect(received.map(({ offset }) => offset)).toEqual([2, 3, 4, 5]);
  });
});

async function metric(hub: Hub, name: string): Promise<number> {
  const text = await (await fetch(`${hub.url}/metrics`)).text();
  const line = text.split("\n").find((one) => one.startsWith(`${name} `));
  return Number(line?.slice(name.length) ?? 0);
}

/** The hub updates its metrics at intervals. */
async function counts(hub: Hub, name: string, count: number): Promise<void> {
  await expect.poll(() => metric(hub, name), { timeout: 30_000 }).toBe(count);
}

/** Records the reconnect delays that the hub sends. */
function listening(hints: number[]): new (url: string) => SocketLike {
  class Listening extends WebSocket {
    constructor(url: string) {
      super(url);
      this.on("message", (data: Buffer) => {
        const frame = JSON.parse(data.toString()) as { type: string; reconnect_after_ms?: number };
        if (frame.type === "going_away") hints.push(frame.reconnect_after_ms ?? -1);
      });
    }
  }
  return Listening as unknown as new (url: string) => SocketLike;
}
