/** The runs of tests/vectors/protocols/ag_ui, received by the real `HttpAgent`: it must accept and apply them all. */
import { readFileSync } from "node:fs";
import { HttpAgent, type Message } from "@ag-ui/client";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

interface Case {
  readonly name: string;
  readonly runs: readonly { readonly events: readonly object[]; readonly cut: boolean }[];
  readonly messages: readonly Message[];
  readonly state: unknown;
}

function casesOf(file: string): readonly Case[] {
  const url = new URL(`../../../tests/vectors/protocols/ag_ui/${file}.json`, import.meta.url);
  const { cases } = JSON.parse(readFileSync(url, "utf8")) as { cases: readonly Case[] };
  return cases;
}

/** A response with these events, in pieces of a few bytes. A run that is cut ends as if the client had aborted it. */
function response(events: readonly object[], cut: boolean): Response {
  const bytes = new TextEncoder().encode(events.map((event) => `data: ${JSON.stringify(event)}\n\n`).join(""));
  let at = 0;
  const body = new ReadableStream<Uint8Array>({
    pull(controller) {
      if (at < bytes.length) controller.enqueue(bytes.slice(at, (at += 700)));
      else if (cut) controller.error(new DOMException("left", "AbortError"));
      else controller.close();
    },
  });
  return new Response(body, { headers: { "Content-Type": "text/event-stream" } });
}

describe.each(["runs", "any_logs"])("%s", (file) => {
  const warn = vi.spyOn(console, "warn");
  const error = vi.spyOn(console, "error");
  beforeEach(() => {
    warn.mockReset();
    error.mockReset();
  });
  afterEach(() => expect(warn.mock.calls).toEqual([]));

  test.each(casesOf(file))("$name", async ({ runs, messages, state }) => {
    const responses = runs.map(({ events, cut }) => response(events, cut));
    const agent = new HttpAgent({
      url: "http://hub/ag-ui/any",
      threadId: "thread-1",
      fetch: () => Promise.resolve(responses.shift() ?? new Response("", { status: 500 })),
    });
    for (let run = 0; run < runs.length; run++) {
      const resume = agent.pendingInterrupts.map(({ id }) => ({
        interruptId: id,
        status: "resolved" as const,
        payload: "yes",
      }));
      await agent.runAgent({ resume });
    }
    expect(agent.messages).toEqual(messages);
    expect(agent.state).toEqual(state);
  });
});
