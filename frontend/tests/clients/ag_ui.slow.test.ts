/** The real `HttpAgent` while hubs restart, are killed and are drained in the midst of a text. */
import type { HttpAgent } from "@ag-ui/client";
import { afterAll, describe, expect, test } from "vitest";
import { Redis } from "../hub/redis.js";
import { agentOf, expectWhole, ignoringRejections, resumeOf, textsOf, withoutWarnings, WorkingHubs } from "./ag_ui.js";

/** Slow enough that the plan is still at work when its hub has stopped. */
const SLOWLY = { PLANCAST_PACE: "0.5" };
const hubs = new WorkingHubs();
afterAll(() => hubs.close());
withoutWarnings();

/** Runs until the first text, calls `then`, and returns the code of the error with which the run ended. */
async function codeOfRun(agent: HttpAgent, then: () => unknown): Promise<string | undefined> {
  let code: string | undefined;
  let seen = false;
  await agent.runAgent(
    {},
    {
      onTextMessageContentEvent: () => {
        if (!seen) then();
        seen = true;
      },
      onRunErrorEvent: ({ event }) => void (code = event.code),
    },
  );
  return code;
}

/** Runs to the question, and from there to the end; the page shows what the plan has, and nothing twice. */
async function complete(agent: HttpAgent, url: string): Promise<void> {
  await agent.runAgent();
  expect(agent.pendingInterrupts).toHaveLength(1);
  await agent.runAgent(resumeOf(agent, "yes"));
  await expectWhole(agent, url);
  expect(agent.state).toMatchObject({ status: "completed" });
}

describe("a hub on SQLite", () => {
  test("is restarted in the midst of a text", async () => {
    const hub = await hubs.start(SLOWLY);
    const agent = agentOf(hub.url);
    let ended: Promise<void> | undefined;
    expect(await codeOfRun(agent, () => (ended = hub.end()))).toBe("restart");
    const seen = textsOf(agent.messages);
    expect(seen).not.toEqual([]);
    await ended;
    await hub.begin();
    await complete(agent, hub.url);
    await hub.close();
  });

  test("is killed in the midst of a text", async () => {
    const hub = await hubs.start(SLOWLY);
    const agent = agentOf(hub.url);
    const run = ignoringRejections(() => codeOfRun(agent, () => hub.end("SIGKILL")).catch((error: unknown) => error));
    expect(await run).toBeInstanceOf(Error);
    await hub.end("SIGKILL");
    await hub.begin();
    await complete(agent, hub.url);
    await hub.close();
  });
});

test("of two hubs on Redis, the one that a page follows is drained", async () => {
  const redis = await Redis.start();
  try {
    const log = { PLANCAST_LOG: redis.url };
    const working = await hubs.start({ ...SLOWLY, ...log });
    const drained = await hubs.start({ ...log, PLANCAST_ENGINE: "off" });
    const first = agentOf(working.url);
    let other: Promise<[HttpAgent, string | undefined]> | undefined;
    const run = codeOfRun(first, () => {
      const agent = agentOf(drained.url, first.threadId);
      other = codeOfRun(agent, () => drained.end()).then((code) => [agent, code]);
    });
    expect(await run).toBeUndefined();
    if (!other) throw new Error("there was no text");
    const [agent, code] = await other;
    expect(code).toBe("restart");
    agent.url = first.url;
    await complete(agent, working.url);
    await first.runAgent(resumeOf(first, "no")); // it was answered: no error, the same end
    expect(textsOf(first.messages)).toEqual(textsOf(agent.messages));
  } finally {
    await redis.close();
  }
});
