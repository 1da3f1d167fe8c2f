/** `threads.stream` of LangGraph's client for JavaScript, unmodified, against a real hub. */
import { ProtocolError } from "@langchain/langgraph-sdk";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import type { Hub } from "../hub/hub.js";
import { Proxy } from "../hub/proxy.js";
import { startEngineHub } from "./engine_hub.js";
import { clientAt, INPUT, TEMPLATE, ThreadPage } from "./langgraph_threads.js";

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

test("P-LGR-12: a thread from its start through a question to its end, in the client's own projections", async () => {
  const thread = clientAt(hub.url).threads.stream(freshThread(), { assistantId: TEMPLATE });
  const { run_id: run } = await thread.run.start({ input: INPUT });
  const texts: string[] = [];
  for await (const message of thread.messages) texts.push(await message.text);
  expect(thread.interrupted).toBe(true);
  expect(thread.interrupts).toMatchObject([{ namespace: [], payload: { kind: "approval" } }]);
  const [interrupt] = thread.interrupts;
  const response = { namespace: [], interrupt_id: interrupt?.interruptId ?? "", response: "yes" };
  await thread.input.respond(response);
  const events = await thread.subscribe("lifecycle");
  for await (const event of events) if (event.params.data.event === "completed") break;
  const { values } = await thread.state.get({ namespace: [] });
  const said = (values["messages"] as { type: string; content: string; tool_calls?: unknown[] }[]).filter(
    ({ type, tool_calls: calls }) => type === "ai" && !calls?.length,
  );
  expect(said.map(({ content }) => content).slice(0, texts.length)).toEqual(texts);
  expect(values["plan"]).toMatchObject({ status: "completed" });
  expect((await thread.agent.getTree({})).tree).toMatchObject({ namespace: [], status: "completed" });
  expect((await clientAt(hub.url).runs.get(thread.threadId, run ?? "")).status).toBe("success");
  await thread.close();
});
