/** `threads.stream` of LangGraph's client: what it makes of the events of a thread. */
import { Client, MessageAssembler, type SubscriptionHandle, type ThreadStream } from "@langchain/langgraph-sdk";
import type { Channel, Event } from "@langchain/protocol";
import { expect } from "vitest";
import { eventually } from "../eventually.js";

export const TEMPLATE = "business_operations";
export const INPUT = { messages: [{ type: "human", content: "Sales by region are uneven" }] };
const CHANNELS: Channel[] = ["values", "updates", "messages", "tools", "lifecycle", "input", "custom"];

export interface Values {
  readonly messages: readonly { readonly id: string; readonly type: string; readonly content: string }[];
  readonly plan: { readonly status: string };
}

export const clientAt = (url: string) =>
  new Client<Values>({ apiUrl: `${url}/langgraph`, apiKey: null, callerOptions: { maxRetries: 9 } });

/** A page that shows a thread: every event that the client passes on, and the messages that its assembler makes. */
export class ThreadPage {
  readonly thread: ThreadStream;
  readonly offsets: number[] = [];
  readonly texts = new Map<string, string>();
  readonly states: string[] = [];
  readonly ids: string[] = [];
  status = "";
  reconnects = 0;
  readonly #assembler = new MessageAssembler();
  readonly #client: Client<Values>;
  readonly #threadId: string;

  constructor(url: string, threadId: string, transport: "sse" | "websocket" = "sse") {
    this.#client = clientAt(url);
    this.#threadId = threadId;
    this.thread = this.#client.threads.stream(threadId, {
      assistantId: TEMPLATE,
      transport,
      maxReconnectAttempts: 1_000,
      reconnectDelayMs: () => 100,
      onReconnect: () => void (this.reconnects += 1),
    });
  }

  static async open(url: string, threadId: string, transport: "sse" | "websocket" = "sse"): Promise<ThreadPage> {
    const page = new ThreadPage(url, threadId, transport);
    void page.#read(await page.thread.subscribe({ channels: CHANNELS }));
    return page;
  }

  /** Waits until the thread is in this state. */
  async until(state: string, count = 1): Promise<void> {
    await eventually(
      () => this.states,
      (states) => states.filter((one) => one === state).length >= count,
      60_000,
    );
  }

  async untilOffset(offset: number): Promise<void> {
    await eventually(
      () => this.offsets,
      (offsets) => offsets.length >= offset,
      60_000,
    );
  }

  /** The question that the thread waits for. */
  get question(): string {
    const [interrupt] = this.thread.interrupts;
    if (!interrupt) throw new Error("there is no question");
    return interrupt.interruptId;
  }

  async respond(response: unknown): Promise<void> {
    await this.thread.input.respond({ namespace: [], interrupt_id: this.question, response });
  }

  /** It has what the thread has, every event once, in order. */
  async expectWhole(events = this.offsets.length): Promise<void> {
    const { values } = await this.#client.threads.getState<Values>(this.#threadId);
    const texts = values.messages.filter(({ id, type }) => type === "ai" && this.texts.has(id));
    expect(this.texts).toEqual(new Map(texts.map(({ id, content }) => [id, content])));
    expect(this.texts.size).toBeGreaterThan(2);
    expect(this.offsets).toEqual(Array.from({ length: events }, (_, at) => at + 1));
    expect(new Set(this.ids).size).toBe(this.ids.length);
    expect(this.status).toBe(values.plan.status);
  }

  async close(): Promise<void> {
    await this.thread.close();
  }

  async #read(events: SubscriptionHandle): Promise<void> {
    for (;;) {
      for await (const event of events) this.#take(event);
      if (!events.isPaused) return;
      await events.waitForResume();
    }
  }

  #take(event: Event): void {
    if (event.event_id !== undefined) this.ids.push(event.event_id);
    if (event.method === "messages") {
      const update = this.#assembler.consume(event);
      const [block] = update?.message.blocks ?? [];
      if (update && block && "text" in block) this.texts.set(update.message.id, String(block.text));
    }
    if (event.method === "custom") this.offsets.push((event.params.data.payload as { offset: number }).offset);
    if (event.method === "lifecycle") this.states.push(event.params.data.event);
    if (event.method === "values") this.status = (event.params.data as Values).plan.status;
  }
}
