/** LangGraph's React hook, `useStream`, unmodified, as a real hook on a page, against a real hub. */
import { useStream } from "@langchain/langgraph-sdk/react";
import { Window } from "happy-dom";
import { createElement } from "react";
import type { Root } from "react-dom/client";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { eventually } from "../eventually.js";
import type { Hub } from "../hub/hub.js";
import { startEngineHub } from "./engine_hub.js";

const TEMPLATE = "business_operations";

interface State extends Record<string, unknown> {
  messages: { type: "human" | "ai" | "tool"; id?: string; content: string }[];
  plan?: { status: string; inputs: { answer?: unknown }[] };
}
type Stream = ReturnType<typeof useStream<State>>;

let hub: Hub;
let count = 0;
const page = new Window({ url: "http://localhost/" });
const roots: Root[] = [];

beforeAll(async () => {
  // The hook's page has a document; requests are those of Node.
  Object.assign(globalThis, { window: page, document: page.document, navigator: page.navigator });
  hub = await startEngineHub();
});
afterAll(async () => {
  await hub.close();
  await page.happyDOM.close();
});
afterEach(() => {
  for (const root of roots.splice(0)) root.unmount();
});

const freshThread = () => `thread-${++count}`;

/** A page that shows a thread; what its hook returns. */
class Shown {
  stream!: Stream;
  readonly errors: unknown[] = [];
  #root!: Root;

  static async page(threadId: string, options: object = { reconnectOnMount: true }): Promise<Shown> {
    const { createRoot } = await import("react-dom/client");
    const shown = new Shown();
    const Page = () => {
      shown.stream = useStream<State>({
        apiUrl: `${hub.url}/langgraph`,
        apiKey: "none",
        assistantId: TEMPLATE,
        threadId,
        onError: (error) => void shown.errors.push(error),
        ...options,
      });
      expect(shown.stream.messages).toBeDefined(); // reading them makes the hook request them
      return null;
    };
    shown.#root = createRoot(page.document.createElement("div") as unknown as Element);
    roots.push(shown.#root);
    shown.#root.render(createElement(Page));
    await eventually(
      () => (shown.stream as Stream | undefined)?.isThreadLoading,
      (loading) => loading === false,
    );
    return shown;
  }

  /** Closes the page; what it stored remains. */
  close(): void {
    this.#root.unmount();
    roots.splice(roots.indexOf(this.#root), 1);
  }

  ask(content: string): void {
    void this.stream.submit({ messages: [{ type: "human", content }] });
  }

  answer(resume: unknown): void {
    void this.stream.submit(undefined, { command: { resume } });
  }

  get texts(): ReadonlyMap<string, string> {
    return new Map(this.stream.messages.map((one) => [one.id ?? "", one.content as string]));
  }

  get status(): string | undefined {
    return this.stream.values.plan?.status;
  }

  /** Waits until it has come to rest in this status. */
  async rests(status: string): Promise<void> {
    await eventually(
      () => [this.status, this.stream.isLoading, this.errors],
      () => this.status === status && !this.stream.isLoading,
      120_000,
    );
    expect(this.errors).toEqual([]);
  }
}

async function textsIn(thread: string): Promise<ReadonlyMap<string, string>> {
  const response = await fetch(`${hub.url}/langgraph/threads/${thread}/state`);
  const { values } = (await response.json()) as { values: State };
  return new Map(values.messages.map((one) => [one.id ?? "", one.content]));
}

test("start, question, answer, end, and a further message", async () => {
  const thread = freshThread();
  const one = await Shown.page(thread);
  one.ask("Sales by region are uneven");
  await one.rests("waiting");
  expect(one.stream.interrupt?.value).toMatchObject({ kind: "approval" });
  expect(one.texts).toEqual(await textsIn(thread));
  one.answer("yes");
  await one.rests("completed");
  expect(one.stream.interrupt).toBeUndefined();
  expect(one.texts).toEqual(await textsIn(thread));
  one.ask("And returns by month?");
  await eventually(
    () => one.texts.size,
    () => one.stream.values.messages.filter(({ type }) => type === "human").length === 2 && one.status === "waiting",
    120_000,
  );
  await one.rests("waiting");
  expect(one.texts).toEqual(await textsIn(thread));
});

test("a reload in the midst, and a second page beside it", async () => {
  const thread = freshThread();
  const one = await Shown.page(thread);
  one.ask("Sales by region are uneven");
  await eventually(
    () => one.texts.size,
    (size) => size > 4,
  );
  one.close();
  const again = await Shown.page(thread);
  const run = page.sessionStorage.getItem(`lg:stream:${thread}`) ?? "";
  const second = await Shown.page(thread, {});
  void second.stream.joinStream(run);
  for (const shown of [again, second]) {
    await shown.rests("waiting");
    expect(shown.stream.interrupt?.value).toMatchObject({ kind: "approval" });
    expect(shown.texts).toEqual(await textsIn(thread));
  }
  second.answer("no");
  await second.rests("completed");
  again.answer("yes"); // it is answered already
  await again.rests("completed");
  expect(again.stream.values.plan?.inputs[0]?.answer).toBe("no");
  expect(again.texts).toEqual(await textsIn(thread));
});

test("an interrupt is shown after a reload, and answered on the plan's own page", async () => {
  const thread = freshThread();
  const one = await Shown.page(thread);
  one.ask("Sales by region are uneven");
  await one.rests("waiting");
  one.close();
  const again = await Shown.page(thread);
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
  expect(again.texts).toEqual(await textsIn(thread));
});

test("stop cancels the run that the page began", async () => {
  const thread = freshThread();
  const one = await Shown.page(thread);
  one.ask("Sales by region are uneven");
  await eventually(
    () => one.texts.size,
    (size) => size > 2,
  );
  await one.stream.stop();
  const statuses: string[] = [];
  const look = () => void one.stream.client.threads.get(thread).then(({ status }) => statuses.push(status));
  await eventually(look, () => statuses.at(-1) === "idle");
  const other = await Shown.page(thread);
  expect(other.status).toBe("cancelled");
});

test("a refusal is the error that the page shows", async () => {
  const one = await Shown.page(freshThread(), { assistantId: "nothing" });
  one.ask("Sales");
  await eventually(
    () => one.stream.error,
    (error) => error !== undefined,
  );
  expect(String(one.stream.error)).toContain("there is no template");
});
