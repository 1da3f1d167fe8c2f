/** What the tests of AG-UI have in common: agents, what they show, and a hub with an engine. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { HttpAgent, type Message } from "@ag-ui/client";
import { afterEach, beforeEach, expect, vi } from "vitest";
import { Hub } from "../hub/hub.js";

/** Hubs whose agents work, a little faster than people read. */
export class WorkingHubs {
  readonly #folder = mkdtempSync(join(tmpdir(), "plancast-ag-ui-"));
  readonly #hubs: Hub[] = [];

  async start(settings: Readonly<Record<string, string>> = {}): Promise<Hub> {
    const engine = `sqlite:///${join(this.#folder, `engine-${this.#hubs.length}.db`)}`;
    const all = { PLANCAST_ENGINE: "embedded", PLANCAST_ENGINE_DB: engine, PLANCAST_PACE: "0.02", ...settings };
    const hub = await Hub.start(all);
    this.#hubs.push(hub);
    return hub;
  }

  async close(): Promise<void> {
    for (const hub of this.#hubs) await hub.close();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

let count = 0;

/** An agent of a thread: a new one with a user's message, or an empty one for a known thread. */
export function agentOf(url: string, threadId?: string): HttpAgent {
  const own = `thread-${process.pid}-${Date.now()}-${++count}`;
  const agent = new HttpAgent({ url: `${url}/ag-ui/business_operations`, threadId: threadId ?? own });
  if (!threadId) agent.addMessage({ id: `user-${own}`, role: "user", content: "Sales by region are uneven" });
  return agent;
}

export interface PlanShown {
  readonly status: string;
  readonly offset: number;
  readonly messages: readonly { readonly content: string }[];
  readonly inputs: readonly { readonly request_id: string; readonly answer?: unknown }[];
}

export async function planOf(url: string, threadId: string): Promise<PlanShown> {
  return (await (await fetch(`${url}/api/plans/${threadId}`)).json()) as PlanShown;
}

/** What agents wrote, as the page shows it. */
export function textsOf(messages: readonly Message[]): readonly string[] {
  return messages.flatMap((message) => {
    const written = message.role === "reasoning" || (message.role === "assistant" && message.content !== undefined);
    return written ? [message.content ?? ""] : [];
  });
}

/** Everything that the agent shows is what the plan has. */
export async function expectWhole(agent: HttpAgent, url: string): Promise<void> {
  const plan = await planOf(url, agent.threadId);
  expect(textsOf(agent.messages)).toEqual(plan.messages.map(({ content }) => content));
  expect(agent.state).toMatchObject({ status: plan.status, offset: plan.offset });
}

/** Runs to the first piece of a text after `seen` others, and calls `then`. Returns how the run ended. */
export function runUntilText(agent: HttpAgent, seen: number, then: () => unknown): Promise<unknown> {
  let texts = 0;
  const onTextMessageContentEvent = () => {
    if (texts++ === seen) then();
  };
  return agent.runAgent({}, { onTextMessageContentEvent }).catch((error: unknown) => error);
}

export function resumeOf(agent: HttpAgent, payload: unknown, status: "resolved" | "cancelled" = "resolved") {
  return { resume: agent.pendingInterrupts.map(({ id }) => ({ interruptId: id, status, payload })) };
}

/** The client warns of events that it can't apply; there must be none. Its own log of failed runs is silent. */
export function withoutWarnings(): void {
  const warn = vi.spyOn(console, "warn");
  const error = vi.spyOn(console, "error");
  beforeEach(() => {
    warn.mockReset();
    error.mockReset().mockReturnValue();
  });
  afterEach(() => expect(warn.mock.calls).toEqual([]));
}

/** Cutting a connection makes the client reject a promise that nothing awaits. */
export async function ignoringRejections<Result>(body: () => Promise<Result>): Promise<Result> {
  const listeners = process.listeners("unhandledRejection");
  const ignore = (): void => undefined;
  process.removeAllListeners("unhandledRejection").on("unhandledRejection", ignore);
  try {
    return await body();
  } finally {
    await new Promise((resolve) => setImmediate(resolve));
    process.off("unhandledRejection", ignore);
    for (const listener of listeners) process.on("unhandledRejection", listener);
  }
}
