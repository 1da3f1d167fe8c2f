/** `threads.stream` of LangGraph's client for JavaScript, unmodified, against a real hub. */
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { promisify } from "node:util";
import { ProtocolError } from "@langchain/langgraph-sdk";
import { StreamController } from "@langchain/langgraph-sdk/stream";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { eventually } from "../eventually.js";
import type { Hub, LooseEvent } from "../hub/hub.js";
import { Proxy } from "../hub/proxy.js";
import { startEngineHub } from "./engine_hub.js";
import { clientAt, INPUT, TEMPLATE, ThreadPage, type Values } from "./langgraph_threads.js";

let hub: Hub;
let count = 0;
const pages: ThreadPage[] = [];
const proxies: Proxy[] = [];

beforeAll(async () => {
  hub = await startEngineHub();
});
afterAll(() => hub.close());
afterEach(async () => {
  await Promise.all(pages.splice(0).map((page) => page.close()));
  await Promise.all(proxies.splice(0).map((proxy) => proxy.close()));
});

const freshThread = () => `v2-${++count}`;
async function open(thread: string, url = hub.url): Promise<ThreadPage> {
  const page = await ThreadPage.open(url, thread);
  pages.push(page);
  return page;
}

test("P-LGR-13, P-LGR-14: cut twice; a reload, a client beside it, an answer on the plan page, and a second plan", async () => {
  const proxy = await Proxy.before(hub.port);
  proxies.push(proxy);
  const thread = freshThread();
  const page = await open(thread, proxy.url);
  await page.thread.run.start({ input: INPUT });
  await page.untilOffset(5);
  const left = await open(thread);
  await left.untilOffset(5);
  await left.close();
  proxy.cut();
  const reloaded = await open(thread);
  await page.untilOffset(25);
  proxy.cut();
  for (const one of [page, reloaded]) await one.until("interrupted");
  expect(page.reconnects).toBeGreaterThanOrEqual(2);
  const answer = await fetch(`${hub.url}/api/plans/${thread}/inputs/${page.question}`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ answer: "yes" }),
  });
  expect(answer.status).toBe(200);
  for (const one of [page, reloaded]) {
    await one.until("completed");
    await one.expectWhole();
  }
  const ended = await open(thread);
  await ended.until("completed");
  await ended.expectWhole(page.offsets.length);
  const first = page.offsets.length;
  await ended.thread.run.start({ input: { messages: [{ type: "human", content: "And returns by month?" }] } });
  for (const one of [page, reloaded, ended]) {
    await one.until("interrupted", one === ended ? 1 : 2);
    expect(one.offsets.slice(first)).toEqual(one.offsets.slice(first).map((_, at) => at + 1));
  }
  await ended.respond("no");
  await Promise.all([page, reloaded, ended].map((one) => one.until("completed", one === ended ? 3 : 4)));
});

test("P-LGR-12: the snippet of the document: from the start through a question to the end", async () => {
  const [snippet] = /(?<=```js\n)[^]*?(?=```)/.exec(readFileSync("../docs/clients/langgraph.md", "utf8")) ?? [""];
  const program = snippet.replace("http://127.0.0.1:8000", hub.url);
  const { stdout } = await promisify(execFile)(process.execPath, ["--input-type=module", "-e", program]);
  expect(stdout.trim().split("\n").at(-1)).toBe("completed");
});

test("P-LGR-13: the state that hooks are made of: submitted, reloaded in the midst, and answered after the reload", async () => {
  const client = clientAt(hub.url);
  const options = { client, assistantId: TEMPLATE, threadId: freshThread(), optimistic: false };
  const [first, second] = [new StreamController<Values>(options), new StreamController<Values>(options)];
  const texts = (page: typeof first) => page.rootStore.getSnapshot().messages.map(({ id, text }) => [id, text]);
  await first.hydrationPromise;
  const submitted = first.submit(INPUT);
  await eventually(
    () => texts(first),
    (some) => some.length > 3,
  );
  await second.hydrate();
  await submitted;
  const reload = () => second.rootStore.getSnapshot();
  await eventually(reload, ({ interrupts }) => interrupts.length === 1);
  expect(texts(second)).toEqual(texts(first));
  await second.respond("yes");
  for (const page of [first, second])
    await eventually(
      () => page.rootStore.getSnapshot(),
      ({ isLoading, values }) => !isLoading && values.plan.status === "completed",
    );
  const { values } = await client.threads.getState<Values>(options.threadId);
  for (const page of [first, second]) {
    expect(texts(page)).toEqual(values.messages.map(({ id, content }) => [id, content]));
    expect(page.rootStore.getSnapshot()).toMatchObject({ interrupts: [], error: undefined });
    await page.dispose();
  }
});

test("P-LGR-16: cancelled, by the run's own route; and refused, with a message to read", async () => {
  const thread = freshThread();
  const page = await open(thread);
  const { run_id: run } = await page.thread.run.start({ input: INPUT });
  await page.untilOffset(9);
  await expect(page.thread.run.start({ input: INPUT })).rejects.toThrow("the thread is busy");
  await clientAt(hub.url).runs.cancel(thread, run ?? "");
  await page.until("interrupted");
  expect(page.status).toBe("cancelled");
  expect(page.thread.interrupts).toEqual([]);
});

test("P-LGR-16: the error of a plan, of an agent without the engine, which then begins the next one", async () => {
  const thread = freshThread();
  const page = await open(thread);
  const text = (content: string): LooseEvent => ({
    type: "agent_message",
    data: { agent_name: "Ann", message_id: "m", append: true, content },
  });
  await hub.publish(thread, [text("I look ")]);
  await page.until("running");
  await hub.publish(thread, [text("it up"), { type: "plan_update", data: { status: "error", content: "no figures" } }]);
  await page.until("failed");
  expect([...page.texts.values()]).toEqual(["I look it up"]);
  await hub.publish(`${thread}.2`, [text("Again")]);
  await page.until("running", 2);
  expect([...page.texts.values()]).toEqual(["I look it up", "Again"]);
});

test("P-LGR-18: an unknown thread, and an unknown question", async () => {
  const page = await open(freshThread());
  const respond = { namespace: [], interrupt_id: "nothing", response: "yes" };
  await expect(page.thread.input.respond(respond)).rejects.toMatchObject({ code: "no_such_run" });
  await page.thread.run.start({ input: INPUT });
  await page.until("interrupted");
  const failure: unknown = await page.thread.input.respond(respond).catch((error: unknown) => error);
  expect(failure).toBeInstanceOf(ProtocolError);
  expect(failure).toMatchObject({ code: "no_such_interrupt" });
});
