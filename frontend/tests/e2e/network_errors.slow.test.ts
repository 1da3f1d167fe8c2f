/** Network errors and restarts, on each kind of log: the page shows everything once. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { Hub } from "../hub/hub.js";
import { Proxy } from "../hub/proxy.js";
import { DurableRedis } from "./durable_redis.js";
import { Laptop } from "./laptop.js";
import { everythingOnce, live, messages, Visits } from "./visits.js";

const CUT_MS = 10_000;
const visits = new Visits();
afterEach(() => visits.leave());
afterAll(() => visits.close());

describe.each(["sqlite", "redis"] as const)("on %s", (kind) => {
  let hub: Hub;
  let redis: DurableRedis | undefined;

  beforeAll(async () => {
    redis = kind === "redis" ? await DurableRedis.start() : undefined;
    hub = await Hub.start(redis ? { PLANCAST_LOG: redis.url } : {});
  });
  afterAll(async () => {
    await hub.close();
    await redis?.close();
  });

  test("a network outage of ten seconds while the plan continues", async () => {
    const proxy = await Proxy.before(hub.port);
    try {
      await hub.publish("cut", messages(1, 5));
      const page = await visits.visit(`${proxy.url}/plan/cut`);
      await everythingOnce(page, 5);
      proxy.setAway(true);
      const back = Date.now() + CUT_MS; // the length of the outage is what is tested
      await page
        .getByText(/^(Reconnecting|Offline)/)
        .first()
        .waitFor();
      for (let at = 6; Date.now() < back; at += 2) {
        if (at < 30) await hub.publish("cut", messages(at, at + 1));
        await new Promise((resolve) => setTimeout(resolve, 500));
      }
      proxy.setAway(false);
      await live(page);
      const last = await lastOf(hub, "cut");
      await everythingOnce(page, last);
      await hub.publish("cut", messages(last + 1, last + 2));
      await everythingOnce(page, last + 2);
    } finally {
      await proxy.close();
    }
  });

  test.each(["SIGTERM", "SIGKILL"] as const)("the hub is restarted under the page: %s", async (signal) => {
    const plan = `restarted-by-${signal}`;
    await hub.publish(plan, messages(1, 5));
    const page = await visits.visit(`${hub.url}/plan/${plan}`);
    await everythingOnce(page, 5);
    await hub.end(signal);
    await page
      .getByText(/^(Reconnecting|Offline)/)
      .first()
      .waitFor();
    await hub.begin();
    await hub.publish(plan, messages(6, 9));
    await live(page);
    await everythingOnce(page, 9);
  });

  test("a laptop sleeps while the plan continues and the hub is restarted", async () => {
    await hub.publish("asleep", messages(1, 4));
    const laptop = await Laptop.open();
    try {
      const page = await laptop.visit(`${hub.url}/plan/asleep`);
      await everythingOnce(page, 4);
      laptop.sleep();
      await hub.publish("asleep", messages(5, 8));
      await hub.end("SIGKILL");
      await hub.begin();
      await hub.publish("asleep", messages(9, 12));
      laptop.wake();
      await everythingOnce(page, 12);
      await live(page);
    } finally {
      await laptop.close();
    }
  });

  test.runIf(kind === "redis")("Redis is restarted under the hub", async () => {
    await hub.publish("kept", messages(1, 5));
    const page = await visits.visit(`${hub.url}/plan/kept`);
    await everythingOnce(page, 5);
    await redis?.end();
    await redis?.begin();
    await hub.publish("kept", messages(6, 9));
    await everythingOnce(page, 9);
    await live(page);
  });
});

describe("an old proxy", () => {
  let hub: Hub;
  let proxy: Proxy;

  beforeAll(async () => {
    hub = await Hub.start();
    proxy = await Proxy.before(hub.port);
  });
  afterAll(async () => {
    await proxy.close();
    await hub.close();
  });

  test("WebSockets blocked, then streams, then neither: always all events", async () => {
    proxy.blocksWebSockets = true;
    await hub.publish("old", messages(1, 4));
    const page = await visits.visit(`${proxy.url}/plan/old`);
    await live(page);
    await everythingOnce(page, 4);
    expect(proxy.counts.stream).toBeGreaterThan(0);

    proxy.holdsStreams = true;
    proxy.cut();
    await hub.publish("old", messages(5, 8));
    await page.getByText("Polling", { exact: true }).waitFor({ timeout: 90_000 });
    await everythingOnce(page, 8);
    expect(proxy.counts.poll).toBeGreaterThan(0);

    proxy.holdsStreams = false;
    proxy.blocksWebSockets = false;
    proxy.cut();
    await hub.publish("old", messages(9, 12));
    await everythingOnce(page, 12);
  });
});

/** The offset of the plan's last event. */
async function lastOf(hub: Hub, plan: string): Promise<number> {
  const answer = await fetch(`${hub.url}/api/plans/${plan}`);
  return ((await answer.json()) as { readonly offset: number }).offset;
}
