/** The streams of tests/vectors/protocols/langgraph in the real hook's reducer: its messages are those of the plan. P-LGR-5. */
import { readFileSync } from "node:fs";
import { MessageTupleManager, StreamManager } from "@langchain/langgraph-sdk/ui";
import { expect, test, vi } from "vitest";

interface Message {
  readonly id: string;
  readonly type: string;
  readonly content: string;
  readonly tool_calls?: readonly { readonly id: string; readonly name: string; readonly args: unknown }[];
}
interface State extends Record<string, unknown> {
  messages?: Message[];
  __interrupt__?: readonly { readonly id: string }[];
}
interface Case {
  readonly name: string;
  readonly stream: readonly (readonly [event: string, data: unknown, id: string | null])[];
  readonly messages: readonly Message[];
  readonly interrupts: readonly string[];
}

const file = new URL("../../../tests/vectors/protocols/langgraph/streams.json", import.meta.url);
const { cases } = JSON.parse(readFileSync(file, "utf8")) as { cases: readonly Case[] };

/** What the hook has after a stream: its transport joins the streams of the connections. */
async function shown(stream: Case["stream"]): Promise<State> {
  const manager = new StreamManager<State>(new MessageTupleManager(), { throttle: false });
  async function* parts() {
    for (const [event, data] of stream) yield await Promise.resolve({ event, data });
  }
  const run = () => Promise.resolve(parts() as unknown as Awaited<ReturnType<Parameters<typeof manager.start>[0]>>);
  await manager.start(run, {
    getMessages: (values) => (values.messages ?? []) as never,
    setMessages: (values, messages) => ({ ...values, messages: messages as unknown as Message[] }),
    initialValues: {},
    callbacks: {},
    onSuccess: () => undefined,
    onError: () => undefined,
  });
  return manager.values ?? {};
}

const byId = (messages: readonly Message[] = []) =>
  new Map(messages.map(({ id, type, content, tool_calls }) => [id, { type, content, calls: tool_calls ?? [] }]));

test.each(cases)("$name", async ({ stream, messages, interrupts }) => {
  vi.spyOn(console, "error").mockReturnValue(); // a plan that failed
  const state = await shown(stream);
  expect(byId(state.messages)).toEqual(byId(messages));
  expect((state.__interrupt__ ?? []).map(({ id }) => id)).toEqual(interrupts);
});
