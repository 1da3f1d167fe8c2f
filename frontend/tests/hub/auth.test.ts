/** Tokens, with a real hub that requires them. */
import { createHmac } from "node:crypto";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import type { Client, ClientOptions } from "../../src/client/index.js";
import { eventually } from "../eventually.js";
import { Hub, message } from "./hub.js";
import { clientOf, connected, live } from "./watching.js";

const SECRET = "a secret that is long enough for everybody";
const EVERYTHING = { "*": ["read", "input", "signal", "publish", "start"] };
let hub: Hub;
const clients: Client[] = [];

beforeAll(async () => {
  hub = await Hub.start({ PLANCAST_AUTH_SECRET: SECRET, PLANCAST_AUTH_LEEWAY: "0" });
});
afterAll(() => hub.close());
afterEach(() => {
  for (const client of clients.splice(0)) client.close();
});

function token(seconds: number, plans: object = EVERYTHING, sub = "ann"): string {
  const text = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const body = `${text({ alg: "HS256", typ: "JWT" })}.${text({ sub, plans, exp: Math.floor(Date.now() / 1000) + seconds })}`;
  return `${body}.${createHmac("sha256", SECRET).update(body).digest("base64url")}`;
}

function client(options: ClientOptions): Client {
  const one = clientOf({ url: hub.url, ...options });
  clients.push(one);
  return one;
}

test("tokens are replaced before they expire, without an interruption", async () => {
  const fetched: string[] = [];
  const one = client({
    fetchToken: ({ reason }) => {
      fetched.push(reason);
      return token(10);
    },
  });
  const statuses: string[] = [];
  one.connection.subscribe(() => statuses.push(one.connection.getSnapshot().status));
  one.plan("p").subscribe(() => undefined);
  await live(one, "p");
  await eventually(
    () => fetched.length,
    (count) => count >= 3,
  );
  expect(new Set(fetched)).toEqual(new Set(["connect", "expiring"]));
  expect(statuses).toEqual(["connecting", "catching_up", "live"]);
  expect(one.plan("p").getSnapshot().live).toBe(true);
});

test.each(["websocket", "sse", "polling"] as const)("a token grants its plans only: %s", async (transport) => {
  const one = client({ transports: [transport], token: token(600, { "mine-*": ["read", "input"] }) });
  one.plan("mine-1").subscribe(() => undefined);
  one.plan("yours").subscribe(() => undefined);
  await live(one, "mine-1");
  const refused = await eventually(
    () => one.plan("yours").getSnapshot(),
    ({ phase }) => phase === "refused",
  );
  expect(refused.error).toMatchObject({ code: "forbidden" });
  await expect(one.signal("mine-1", "cancel")).rejects.toMatchObject({ code: "forbidden" });
  await expect(one.start("trip")).rejects.toMatchObject({ code: "forbidden" });
  expect((await one.plans()).plans).toEqual([]);
});

test.each(["websocket", "sse", "polling"] as const)(
  "an expired token without fetchToken is refused: %s",
  async (transport) => {
    const one = client({ transports: [transport], token: token(-10) });
    one.plan("p").subscribe(() => undefined);
    const end = await connected(one, "refused");
    expect(end).toMatchObject({ code: 4440 });
    await expect(one.answer("p", "q", 1)).rejects.toMatchObject({ code: "refused" });
  },
);

test.each(["websocket", "sse", "polling"] as const)(
  "an invalid token is refused until there is a valid one: %s",
  async (transport) => {
    let good = false;
    const one = client({ transports: [transport], fetchToken: () => (good ? token(600) : "nonsense") });
    one.plan("p").subscribe(() => undefined);
    const end = await connected(one, "refused");
    expect(end).toMatchObject({ code: 4501 });
    good = true; // the user signed in
    one.retry();
    await live(one, "p");
  },
);

test.each(["sse", "polling"] as const)(
  "a token that expires during a connection is replaced: %s",
  async (transport) => {
    let fetched = 0;
    const plan = `published-over-${transport}`;
    const one = client({ transports: [transport], fetchToken: () => (fetched++, token(2)) });
    const received: number[] = [];
    one.plan(plan).onEvents((events) => received.push(...events.map(({ offset }) => offset)));
    await live(one, plan);
    for (let published = 1; fetched < 3; published++) {
      await hub.publish(plan, [message(String(published))], token(60));
      await eventually(
        () => received.length,
        (count) => count >= published,
      );
      await new Promise((resolve) => setTimeout(resolve, 50)); // a poll checks the token when it starts
    }
    expect(received).toEqual(received.map((_, at) => at + 1));
  },
);
