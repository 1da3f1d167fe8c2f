/** LangGraph's client for JavaScript, unmodified, against a real hub. */
import { Client } from "@langchain/langgraph-sdk";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import type { Hub } from "../hub/hub.js";
import { Proxy } from "../hub/proxy.js";
import { startEngineHub, untilReady } from "./engine_hub.js";

const TEMPLATE = "business_operations";
const INPUT = { messages: [{ type: "human", content: "Sales by region are uneven" }] };
const MODES: ("values" | "messages-tuple" | "custom")[] = ["values", "messages-tuple", "custom"];

interface Part {
  readonly event: string;
  readonly data: unknown;
}
interface Message {
  readonly id: string;
  readonly type: string;
  readonly content: string;
}
interface Values {
  readonly messages: readonly Message[];
  readonly plan: { readonly status: string };
  readonly __interrupt__?: readonly { readonly id: string }[];
}

let hub: Hub;
let proxy: Proxy | undefined;
let count = 0;

beforeAll(async () => {
  hub = await startEngineHub();
});
afterAll(() => hub.close());
afterEach(async () => {
  await proxy?.close();
  proxy = undefined;
});

const clientAt = (url: string, maxRetries = 4) =>
  new Client({ apiUrl: `${url}/langgraph`, apiKey: null, callerOptions: { maxRetries } });
const freshThread = () => `thread-${++count}`;

/** What a client has: the offsets of its events, and its texts by the ids of their messages. */
class Received {
  readonly offsets: number[] = [];
  readonly texts = new Map<string, string>();
  readonly interrupts: string[] = [];
  status = "";

  take({ event, data }: Part): void {
    if (event === "custom") this.offsets.push((data as { offset: number }).offset);
    if (event === "values") this.#takeValues(data as Partial<Values>);
    if (event !== "messages") return;
    const [message] = data as [Message];
    if (message.type === "remove") this.texts.delete(message.id);
    else this.texts.set(message.id, (this.texts.get(message.id) ?? "") + message.content);
  }

  #takeValues(values: Partial<Values>): void {
    this.status = values.plan?.status ?? this.status;
    this.interrupts.push(...(values.__interrupt__ ?? []).map((one) => one.id));
  }
}

async function textsIn(client: Client, thread: string): Promise<Map<string, string>> {
  const { values } = await client.threads.getState<Values>(thread);
  return new Map(values.messages.filter(({ type }) => type !== "human").map(({ id, content }) => [id, content]));
}

const upTo = (last: number) => Array.from({ length: last }, (_, at) => at + 1);

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
