/** LangGraph's React hook, `useStream`, unmodified, as a real hook on a page. */
import { useStream } from "@langchain/langgraph-sdk/react";
import { Window } from "happy-dom";
import { createElement } from "react";
import type { Root } from "react-dom/client";
import { expect } from "vitest";
import { eventually } from "../eventually.js";
import { TEMPLATE } from "./langgraph_client.js";

export interface State extends Record<string, unknown> {
  messages: { type: "human" | "ai" | "tool"; id?: string; content: string }[];
  plan?: { status: string; inputs: { answer?: unknown }[] };
}
type Stream = ReturnType<typeof useStream<State>>;

export const page = new Window({ url: "http://localhost/" });
const roots: Root[] = [];

/** The hook's page has a document; requests are those of Node. */
export function openPage(): void {
  Object.assign(globalThis, { window: page, document: page.document, navigator: page.navigator });
}

export function unmountAll(): void {
  for (const root of roots.splice(0)) root.unmount();
}

/** A page that shows a thread; what its hook returns. */
export class Shown {
  stream!: Stream;
  readonly errors: unknown[] = [];
  #root!: Root;

  static async page(url: string, threadId: string, options: object = { reconnectOnMount: true }): Promise<Shown> {
    const { createRoot } = await import("react-dom/client");
    const shown = new Shown();
    const Page = () => {
      shown.stream = useStream<State>({
        apiUrl: `${url}/langgraph`,
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
