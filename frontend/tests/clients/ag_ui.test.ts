/** The real `HttpAgent` of AG-UI against a real hub whose agents work. */
import { HttpAgent, type RunAgentParameters, type RunFinishedEvent } from "@ag-ui/client";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Hub, LooseEvent } from "../hub/hub.js";
import { Proxy } from "../hub/proxy.js";
import {
  agentOf,
  expectWhole,
  ignoringRejections,
  planOf,
  resumeOf,
  runUntilText,
  textsOf,
  withoutWarnings,
  WorkingHubs,
} from "./ag_ui.js";

const hubs = new WorkingHubs();
let hub: Hub;
beforeAll(async () => {
  hub = await hubs.start();
});
afterAll(() => hubs.close());
withoutWarnings();

/** Runs to the question. */
async function asked(): Promise<HttpAgent> {
  const agent = agentOf(hub.url);
  await agent.runAgent();
  expect(agent.pendingInterrupts).toHaveLength(1);
  return agent;
}

async function outcomeOf(agent: HttpAgent, parameters: Parameters<HttpAgent["runAgent"]>[0] = {}): Promise<string> {
  let outcome: RunFinishedEvent["outcome"];
  await agent.runAgent(parameters, { onRunFinishedEvent: ({ event }) => void (outcome = event.outcome) });
  return outcome?.type ?? "none";
}

test("a plan is started, left in the midst, shown again on two pages, approved and ended", async () => {
  const first = agentOf(hub.url);
  await runUntilText(first, 3, () => first.abortRun());
  expect((await planOf(hub.url, first.threadId)).status).toBe("in_progress");

  const again = agentOf(hub.url, first.threadId); // a reload of a page that keeps only the thread's id
  const second = agentOf(hub.url, first.threadId);
  expect(await Promise.all([first, again, second].map((agent) => outcomeOf(agent)))).toEqual(
    Array.from({ length: 3 }, () => "interrupt"),
  );
  expect(again.pendingInterrupts[0]).toMatchObject({
    reason: "confirmation",
    message: "Shall we go ahead with this proposal?",
    responseSchema: { enum: ["yes", "no"] },
  });
  for (const agent of [first, again, second]) await expectWhole(agent, hub.url);

  const seen = textsOf(again.messages);
  expect(await outcomeOf(again, resumeOf(again, "yes"))).toBe("success");
  expect(textsOf(again.messages).slice(0, seen.length)).toEqual(seen);
  await expectWhole(again, hub.url);

  // The other page answers too, later: it sees how the plan went on.
  expect(await outcomeOf(second, resumeOf(second, "no"))).toBe("success");
  expect(second.messages).toEqual(again.messages);
  expect((await planOf(hub.url, first.threadId)).inputs[0]?.answer).toBe("yes");
});

test("the end of a run has the tokens used since it began", async () => {
  const threadId = `used-${Date.now()}`;
  const used = (output_tokens: number): LooseEvent => {
    const usage = { model: "m", input_tokens: 1, output_tokens };
    return { type: "agent_message", data: { agent_name: "A", content: "x", message_type: "result", usage } };
  };
  const status = (status: string): LooseEvent => ({ type: "plan_update", data: { status } });
  const question: LooseEvent = {
    type: "input_request",
    data: { request_id: "q", kind: "approval", prompt: "Go on?" },
  };
  await hub.publish(threadId, [status("in_progress"), used(100)]);

  const agent = agentOf(hub.url, threadId);
  const usageOf = async (publish: readonly LooseEvent[], parameters: RunAgentParameters = {}) => {
    let usage: RunFinishedEvent["usage"];
    await agent.runAgent(parameters, {
      onStateSnapshotEvent: () => hub.publish(threadId, publish),
      onRunFinishedEvent: ({ event }) => void (usage = event.usage),
    });
    return usage;
  };
  const tokens = (outputTokens: number) => [
    { model: "m", inputTokens: 1, outputTokens, totalTokens: 1 + outputTokens },
  ];
  expect(await usageOf([used(20), question, status("waiting")])).toEqual(tokens(20));
  expect(await usageOf([used(3), status("completed")], resumeOf(agent, "yes"))).toEqual(tokens(3));
  expect(agent.state).toMatchObject({ usage: { output_tokens: 123 } });
  expect(await usageOf([])).toBeUndefined();
});

test("a question that was answered on the plan's page", async () => {
  const agent = await asked();
  const [question] = agent.pendingInterrupts;
  const answered = await fetch(`${hub.url}/api/plans/${agent.threadId}/inputs/${question?.id ?? ""}`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ answer: "no" }),
  });
  expect(answered.status).toBe(200);
  expect(await outcomeOf(agent, resumeOf(agent, "yes"))).toBe("success");
  await expectWhole(agent, hub.url);
  expect((await planOf(hub.url, agent.threadId)).inputs[0]?.answer).toBe("no");
});

test("a plan that was started on the plan's page is answered here", async () => {
  const threadId = `started-${Date.now()}`;
  const started = await fetch(`${hub.url}/api/plans`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ template: "business_operations", input: { request: "Sales" }, plan_id: threadId }),
  });
  expect(started.status).toBe(202);
  const agent = agentOf(hub.url, threadId);
  while (!(await planOf(hub.url, threadId)).offset);
  expect(await outcomeOf(agent)).toBe("interrupt");
  expect(await outcomeOf(agent, resumeOf(agent, "yes"))).toBe("success");
  expect((await planOf(hub.url, threadId)).inputs[0]?.answer).toBe("yes");
});

test("an interrupt that is cancelled cancels the plan", async () => {
  const agent = await asked();
  expect(await outcomeOf(agent, resumeOf(agent, undefined, "cancelled"))).toBe("cancelled");
  expect((await planOf(hub.url, agent.threadId)).status).toBe("cancelled");
  expect(await outcomeOf(agentOf(hub.url, agent.threadId))).toBe("cancelled");
});

test("a further message is the next plan of the thread", async () => {
  const agent = await asked();
  await agent.runAgent(resumeOf(agent, "no"));
  const before = agent.messages;
  agent.addMessage({ id: "user-2", role: "user", content: "And returns by month" });
  expect(await outcomeOf(agent)).toBe("interrupt");
  expect(agent.messages.slice(0, before.length)).toEqual(before);
  expect(agent.state).toMatchObject({ plan_id: `${agent.threadId}.2`, title: "And returns by month" });
  const again = agentOf(hub.url, agent.threadId);
  await again.runAgent();
  const shown = ({ messages }: HttpAgent) => messages.map((message) => ({ ...message, id: undefined }));
  expect(shown(again)).toEqual(shown(agent)); // with what the user wrote
});

test("a connection that is cut fails the run, and the next one completes it", async () => {
  const proxy = await Proxy.before(hub.port);
  try {
    const agent = agentOf(proxy.url);
    const failure = await ignoringRejections(() => runUntilText(agent, 3, () => proxy.cut()));
    expect(failure).toBeInstanceOf(Error);
    expect(await outcomeOf(agent)).toBe("interrupt");
    await expectWhole(agent, hub.url);
  } finally {
    await proxy.close();
  }
});

describe("refusals are readable", () => {
  test("an unknown template", async () => {
    const agent = new HttpAgent({ url: `${hub.url}/ag-ui/nothing` });
    agent.addMessage({ id: "1", role: "user", content: "Hi" });
    await expect(agent.runAgent()).rejects.toThrow(/^HTTP 404: there is no template 'nothing'; the templates are /);
  });

  test("an unknown thread", async () => {
    await expect(agentOf(hub.url, "unknown").runAgent()).rejects.toThrow(/^HTTP 404: there is no thread 'unknown'/);
  });
});
