/** `threads.stream` of LangGraph's client while hubs restart, are killed and are drained in the midst of a plan. */
import { afterAll, expect, test } from "vitest";
import { Redis } from "../hub/redis.js";
import { WorkingHubs } from "./ag_ui.js";
import { INPUT, ThreadPage } from "./langgraph_threads.js";

/** Slow enough that the plan is still at work when its hub has stopped. */
const SLOWLY = { PLANCAST_PACE: "0.5" };
const hubs = new WorkingHubs();
afterAll(() => hubs.close());

test.each(["SIGTERM", "SIGKILL"] as const)("P-LGR-13: a hub on SQLite gets %s and starts again", async (signal) => {
  const hub = await hubs.start(SLOWLY);
  const page = await ThreadPage.open(hub.url, `thread-${signal}`);
  await page.thread.run.start({ input: INPUT });
  await page.untilOffset(11);
  await hub.end(signal);
  await hub.begin();
  await page.until("interrupted");
  expect(page.reconnects).toBeGreaterThan(0);
  await page.respond("yes");
  await page.until("completed");
  await page.expectWhole();
  await page.close();
  await hub.close();
});

test("P-LGR-13: of two hubs on Redis, the one that a page follows is drained", async () => {
  const redis = await Redis.start();
  try {
    const log = { PLANCAST_LOG: redis.url };
    const working = await hubs.start({ ...SLOWLY, ...log });
    const drained = await hubs.start({ ...log, PLANCAST_ENGINE: "off" });
    const first = await ThreadPage.open(working.url, "thread-drained");
    const other = await ThreadPage.open(drained.url, "thread-drained");
    await first.thread.run.start({ input: INPUT });
    await other.untilOffset(11);
    await drained.end();
    const moved = await ThreadPage.open(working.url, "thread-drained");
    await moved.until("interrupted");
    await drained.begin();
    await other.until("interrupted");
    await other.respond("yes");
    for (const page of [first, other, moved]) {
      await page.until("completed");
      await page.expectWhole();
      await page.close();
    }
  } finally {
    await redis.close();
  }
});
