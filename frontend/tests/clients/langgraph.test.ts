/** LangGraph's client for JavaScript, unmodified, against a real hub. */
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import type { Hub } from "../hub/hub.js";
import { Proxy } from "../hub/proxy.js";
import { startEngineHub } from "./engine_hub.js";
import {
  clientAt,
  freshThread,
  INPUT,
  MODES,
  Received,
  TEMPLATE,
  textsIn,
  upTo,
  type Values,
} from "./langgraph_client.js";

let hub: Hub;
let proxy: Proxy | undefined;

beforeAll(async () => {
  hub = await startEngineHub();
});
afterAll(() => hub.close());
afterEach(async () => {
  await proxy?.close();
  proxy = undefined;
});

test("a thread from its start through a question to its end", async () => {
  const client = clientAt(hub.url);
  const { thread_id: thread } = await client.threads.create();
  const received = new Received();
  const runs: string[] = [];
  const onRunCreated = (run: { run_id: string }) => void runs.push(run.run_id);
  for await (const part of client.runs.stream(thread, TEMPLATE, { input: INPUT, streamMode: MODES, onRunCreated }))
    received.take(part);
  expect(received.interrupts).toHaveLength(1);
  const state = await client.threads.getState(thread);
  expect(state.tasks.flatMap(({ interrupts }) => interrupts.map(({ id }) => id))).toEqual(received.interrupts);
  const command = { resume: { [received.interrupts[0] ?? ""]: "yes" } };
  for await (const part of client.runs.stream(thread, TEMPLATE, { command, streamMode: MODES, onRunCreated }))
    received.take(part);
  expect(received.status).toBe("completed");
  expect(received.offsets).toEqual(upTo(received.offsets.length));
  expect(received.texts).toEqual(await textsIn(client, thread));
  expect((await client.runs.list(thread)).map((run) => run.run_id)).toEqual(runs.reverse());
});

test("P-LGR-5: a line that is cut, twice, is resumed by the client itself; a second client joins", async () => {
  proxy = await Proxy.before(hub.port);
  const client = clientAt(proxy.url);
  const thread = freshThread();
  const received = new Received();
  const second = new Received();
  let joined = Promise.resolve();
  const join = async (run: string) => {
    for await (const part of clientAt(hub.url).runs.joinStream(thread, run, { streamMode: MODES })) second.take(part);
  };
  const cuts = new Set([5, 25]);
  const stream = client.runs.stream(thread, TEMPLATE, {
    input: INPUT,
    streamMode: MODES,
    onRunCreated: (run) => void (joined = join(run.run_id)),
  });
  for await (const part of stream) {
    received.take(part);
    if (cuts.delete(received.offsets.length)) proxy.cut();
  }
  await joined;
  expect(cuts.size).toBe(0);
  for (const one of [received, second]) {
    expect(one.offsets).toEqual(upTo(one.offsets.length));
    expect(one.interrupts).toHaveLength(1);
    expect(one.texts).toEqual(await textsIn(client, thread));
  }
});

test("cancelling a run, and leaving one", async () => {
  const client = clientAt(hub.url);
  const thread = freshThread();
  const left = freshThread();
  let run = "";
  const received = new Received();
  const options = {
    input: INPUT,
    streamMode: MODES,
    onRunCreated: (one: { run_id: string }) => void (run = one.run_id),
  };
  for await (const part of client.runs.stream(thread, TEMPLATE, options)) {
    received.take(part);
    if (received.offsets.length === 9) await client.runs.cancel(thread, run);
  }
  expect(received.status).toBe("cancelled");
  for await (const part of client.runs.stream(left, TEMPLATE, options)) if (part.event === "custom") break;
  const values = (await client.runs.join(left, run)) as unknown as Values;
  expect(values.__interrupt__).toHaveLength(1);
});
