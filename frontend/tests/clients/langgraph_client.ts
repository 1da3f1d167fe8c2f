/** LangGraph's client for JavaScript, and what it has received. */
import { Client } from "@langchain/langgraph-sdk";

export const TEMPLATE = "business_operations";
export const INPUT = { messages: [{ type: "human", content: "Sales by region are uneven" }] };
export const MODES: ("values" | "messages-tuple" | "custom")[] = ["values", "messages-tuple", "custom"];

interface Part {
  readonly event: string;
  readonly data: unknown;
}
interface Message {
  readonly id: string;
  readonly type: string;
  readonly content: string;
}
export interface Values {
  readonly messages: readonly Message[];
  readonly plan: { readonly status: string };
  readonly __interrupt__?: readonly { readonly id: string }[];
}

export const clientAt = (url: string, maxRetries = 4) =>
  new Client({ apiUrl: `${url}/langgraph`, apiKey: null, callerOptions: { maxRetries } });
let count = 0;
export const freshThread = () => `thread-${++count}`;

/** What a client has: the offsets of its events, and its texts by the ids of their messages. */
export class Received {
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

export async function textsIn(client: Client, thread: string): Promise<Map<string, string>> {
  const { values } = await client.threads.getState<Values>(thread);
  return new Map(values.messages.filter(({ type }) => type !== "human").map(({ id, content }) => [id, content]));
}

export const upTo = (last: number) => Array.from({ length: last }, (_, at) => at + 1);
