/** LangGraph's client for JavaScript and its React hook, unmodified, against a real hub. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { eventually } from "../eventually.js";
import type { Hub } from "../hub/hub.js";
import { Proxy } from "../hub/proxy.js";
import { startEngineHub } from "./engine_hub.js";
import {
  clientAt,
  freshThread,
  INPUT,
  MODES,
  Received,
  textsIn,
  TEMPLATE,
  upTo,
  type Values,
} from "./langgraph_client.js";
import { openPage, page, Shown, type State, unmountAll } from "./langgraph_page.js";

let hub: Hub;
let proxy: Proxy | undefined;

beforeAll(async () => {
  openPage();
  hub = await startEngineHub();
});
afterAll(async () => {
  await hub.close();
  await page.happyDOM.close();
});
afterEach(async () => {
  unmountAll();
  await proxy?.close();
  proxy = undefined;
});

async function messagesIn(thread: string): Promise<ReadonlyMap<string, string>> {
  const response = await fetch(`${hub.url}/langgraph/threads/${thread}/state`);
  const { values } = (await response.json()) as { values: State };
  return new Map(values.messages.map((one) => [one.id ?? "", one.content]));
}

describe("the client", () => {
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
});

describe("the hook", () => {
  test("start, question, answer, end, and a further message", async () => {
    const thread = freshThread();
    const one = await Shown.page(hub.url, thread);
    one.ask("Sales by region are uneven");
    await one.rests("waiting");
    expect(one.stream.interrupt?.value).toMatchObject({ kind: "approval" });
    expect(one.texts).toEqual(await messagesIn(thread));
    one.answer("yes");
    await one.rests("completed");
    expect(one.stream.interrupt).toBeUndefined();
    expect(one.texts).toEqual(await messagesIn(thread));
    one.ask("And returns by month?");
    await eventually(
      () => one.texts.size,
      () => one.stream.values.messages.filter(({ type }) => type === "human").length === 2 && one.status === "waiting",
      120_000,
    );
    await one.rests("waiting");
    expect(one.texts).toEqual(await messagesIn(thread));
  });

  test("a reload in the midst, and a second page beside it", async () => {
    const thread = freshThread();
    const one = await Shown.page(hub.url, thread);
    one.ask("Sales by region are uneven");
    await eventually(
      () => one.texts.size,
      (size) => size > 4,
    );
    one.close();
    const again = await Shown.page(hub.url, thread);
    const run = page.sessionStorage.getItem(`lg:stream:${thread}`) ?? "";
    const second = await Shown.page(hub.url, thread, {});
    void second.stream.joinStream(run);
    for (const shown of [again, second]) {
      await shown.rests("waiting");
      expect(shown.stream.interrupt?.value).toMatchObject({ kind: "approval" });
      expect(shown.texts).toEqual(await messagesIn(thread));
    }
    second.answer("no");
    await second.rests("completed");
    again.answer("yes"); // it is answered already
    await again.rests("completed");
    expect(again.stream.values.plan?.inputs[0]?.answer).toBe("no");
    expect(again.texts).toEqual(await messagesIn(thread));
  });

  test("an interrupt is shown after a reload, and answered on the plan's own page", async () => {
    const thread = freshThread();
    const one = await Shown.page(hub.url, thread);
    one.ask("Sales by region are uneven");
    await one.rests("waiting");
    one.close();
    const again = await Shown.page(hub.url, thread);
    const [question] = again.stream.interrupts;
    expect(question?.value).toMatchObject({ kind: "approval" });
    const answered = await fetch(`${hub.url}/api/plans/${thread}/inputs/${question?.id ?? ""}`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ answer: "no" }),
    });
    expect(answered.status).toBe(200);
    again.answer("yes");
    await again.rests("completed");
    expect(again.texts).toEqual(await messagesIn(thread));
  });

  test("stop cancels the run that the page began", async () => {
    const thread = freshThread();
    const one = await Shown.page(hub.url, thread);
    one.ask("Sales by region are uneven");
    await eventually(
      () => one.texts.size,
      (size) => size > 2,
    );
    await one.stream.stop();
    const statuses: string[] = [];
    const look = () => void one.stream.client.threads.get(thread).then(({ status }) => statuses.push(status));
    await eventually(look, () => statuses.at(-1) === "idle");
    const other = await Shown.page(hub.url, thread);
    expect(other.status).toBe("cancelled");
  });

  test("a refusal is the error that the page shows", async () => {
    const one = await Shown.page(hub.url, freshThread(), { assistantId: "nothing" });
    one.ask("Sales");
    await eventually(
      () => one.stream.error,
      (error) => error !== undefined,
    );
    expect(String(one.stream.error)).toContain("there is no template");
  });
});
