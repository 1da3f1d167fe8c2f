/** LangGraph's client for JavaScript while the hub restarts. */
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Hub } from "../hub/hub.js";
import { startEngineHub, untilReady } from "./engine_hub.js";
import { clientAt, freshThread, INPUT, MODES, Received, TEMPLATE, textsIn, upTo } from "./langgraph_client.js";

let hub: Hub;
beforeAll(async () => {
  hub = await startEngineHub();
});
afterAll(() => hub.close());

test("P-LGR-6: a hub that restarts in the midst", async () => {
  const client = clientAt(hub.url, 9); // a restart may take long on a busy machine
  const thread = freshThread();
  const received = new Received();
  let restarted: Promise<void> | undefined;
  const restart = async () => {
    await hub.end("SIGTERM");
    await hub.begin();
    await untilReady(hub);
  };
  for await (const part of client.runs.stream(thread, TEMPLATE, { input: INPUT, streamMode: MODES })) {
    received.take(part);
    if (received.offsets.length > 11) restarted ??= restart();
  }
  expect(restarted).toBeDefined();
  await restarted;
  expect(received.interrupts).toHaveLength(1);
  expect(received.offsets).toEqual(upTo(received.offsets.length));
  expect(received.texts).toEqual(await textsIn(client, thread));
});
