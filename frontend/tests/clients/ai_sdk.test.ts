/** `useChat` of ai 6 and 7, as real hooks, with a real hub and its template `business_operations`. */
import "./fake_document.js";
import { act, cleanup } from "@testing-library/react";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { Hub } from "../hub/hub.js";
import { Proxy } from "../hub/proxy.js";
import { HOOKS, type Options } from "./ai_sdk_hooks.js";
import {
  answeredIn,
  apiOf,
  approve,
  asked,
  begun,
  contentsOf,
  ended,
  openIn,
  page,
  planOf,
  postsIn,
  questionOf,
  say,
  TEXT,
  textsOf,
  until,
  type Use,
} from "./ai_sdk_pages.js";
import type { Message } from "./ai_sdk_versions.js";

let hub: Hub;
let count = 0;

beforeAll(async () => {
  hub = await Hub.start({ PLANCAST_ENGINE: "embedded", PLANCAST_PACE: "0.05" });
});
afterAll(() => hub.close());
afterEach(cleanup);

const pageOf = (use: Use, options: Partial<Options> & { readonly id: string }) =>
  page(use, { api: apiOf(hub.url), ...options });

describe.each(HOOKS)("$name", ({ use }) => {
  const freshId = () => `chat-${++count}`;

  test("start, stream, approval, end, and the next message", async () => {
    const id = freshId();
    const { chat } = pageOf(use, { id });
    await say(chat);
    await until(chat, asked);
    const done = await approve(chat);
    expect(done.messages.map(({ id }) => id).slice(1)).toEqual([`${id}-answer`]);
    expect(questionOf(done)).toMatchObject({ state: "output-available", output: { approved: true } });
    expect(textsOf(done)).toEqual(await contentsOf(hub.url, id));
    await say(chat, "And by month?");
    await until(chat, asked);
    const refused = await approve(chat, false);
    expect(refused.messages.map(({ role }) => role)).toEqual(["user", "assistant", "user", "assistant"]);
    expect(questionOf(refused)).toMatchObject({ state: "output-denied" });
    expect(textsOf(refused)).toEqual(await contentsOf(hub.url, `${id}.2`));
  });

  test("a page that is reloaded in the midst, and one beside it, go on", async () => {
    const id = freshId();
    const first = pageOf(use, { id });
    await say(first.chat);
    await until(first.chat, begun);
    first.close();
    const messages = (await (await fetch(`${apiOf(hub.url)}/${id}/messages`)).json()) as Message[];
    const again = pageOf(use, { id, resume: true, messages });
    const beside = pageOf(use, { id, resume: true });
    await until(again.chat, asked);
    await until(beside.chat, asked);
    expect(again.chat().messages).toHaveLength(2);
    expect(textsOf(beside.chat())).toEqual(textsOf(again.chat()));
    const done = await approve(again.chat);
    expect(textsOf(done)).toEqual(await contentsOf(hub.url, id));
  });

  test("a question that is answered elsewhere, and then here", async () => {
    const id = freshId();
    const { chat } = pageOf(use, { id });
    await say(chat);
    const question = questionOf(await until(chat, asked))?.["input"] as { request_id: string };
    const answer = await fetch(`${hub.url}/api/plans/${id}/inputs/${question.request_id}`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ answer: "no" }),
    });
    expect(answer.status).toBe(200);
    const done = await approve(chat);
    expect(questionOf(done)).toMatchObject({ state: "output-denied" });
    expect(textsOf(done)).toEqual(await contentsOf(hub.url, id));
  });

  test("a clarification is answered by the tool's output", async () => {
    const { chat } = pageOf(use, { id: freshId(), api: `${hub.url}/ai-sdk/data_query` });
    await say(chat, "Hello");
    const waiting = await until(chat, (now) => now.status === "ready" && questionOf(now) !== undefined);
    expect(questionOf(waiting)).toMatchObject({ state: "input-available", input: { kind: "clarification" } });
    const answer = "How many orders are there?";
    await act(() => chat().execute(String(questionOf(waiting)?.["toolCallId"]), answer));
    const done = await until(chat, ended);
    expect(questionOf(done)).toMatchObject({ state: "output-available", output: answer });
    expect(done.messages).toHaveLength(2);
  });

  test("answers to an approval and a question of another kind are sent once each", async () => {
    const id = freshId();
    const question = (request_id: string, kind: string) => ({
      type: "input_request" as const,
      data: { request_id, kind, prompt: "Go on?" },
    });
    const plan = (status: string) => ({ type: "plan_update" as const, data: { status } });
    await hub.publish(id, [plan("in_progress"), question("a", "approval"), question("b", "choice"), plan("waiting")]);
    const posts = vi.spyOn(globalThis, "fetch");
    const { chat } = pageOf(use, { id, resume: true });
    const both = await until(chat, (now) => now.status === "ready" && openIn(now).length === 2);
    const [approval, choice] = openIn(both);
    await act(() => chat().execute(String(choice?.["toolCallId"]), "red"));
    const one = await until(chat, (now) => now.status === "ready" && answeredIn(now) === 1);
    expect(openIn(one)).toMatchObject([{ toolCallId: approval?.["toolCallId"], state: "approval-requested" }]);
    await act(() => new Promise((resolve) => setTimeout(resolve, 0))); // the client has decided whether to send again
    expect(postsIn(posts.mock.calls)).toBe(1);
    await act(() => chat().approve(String(approval?.["toolCallId"]), true));
    await until(chat, (now) => answeredIn(now) === 2);
    await hub.publish(id, [plan("completed")]);
    await until(chat, ended);
    expect(postsIn(posts.mock.calls)).toBe(2);
    posts.mockRestore();
  });

  test("a replay of a chat that has ended changes nothing on a page that has it", async () => {
    const id = freshId();
    const text = { agent_name: "A", content: "Done.", message_type: "result" };
    await hub.publish(id, [
      { type: "agent_message", data: text },
      { type: "plan_update", data: { status: "completed" } },
    ]);
    const messages = (await (await fetch(`${apiOf(hub.url)}/${id}/messages`)).json()) as Message[];
    const { chat } = pageOf(use, { id, messages });
    const loaded = chat().messages;
    await act(() => chat().resume());
    expect(chat()).toMatchObject({ status: "ready", error: undefined });
    expect(chat().messages.map(({ id: each }) => each)).toEqual(loaded.map(({ id: each }) => each));
    expect(textsOf(chat())).toEqual(["Done."]);
    expect(ended(chat())).toBe(true);
  });

  test("leaving is not cancelling; the stop route cancels", async () => {
    const id = freshId();
    const { chat } = pageOf(use, { id });
    await say(chat);
    await until(chat, begun);
    await act(() => chat().leave());
    await act(() => chat().resume());
    await until(chat, asked);
    const stopped = await fetch(`${apiOf(hub.url)}/${id}/stop`, { method: "POST" });
    expect(stopped.status).toBe(204);
    await (await fetch(`${hub.url}/api/plans/${id}/stream?since=start`)).text();
    await act(() => chat().resume());
    const { status } = await until(chat, (now) => JSON.stringify(planOf(now)).includes('"cancelled"'));
    expect(["ready", "streaming"]).toContain(status);
  });

  test("a line that is cut is an error, and resuming shows everything once", async () => {
    const id = freshId();
    const proxy = await Proxy.before(hub.port);
    const { chat } = pageOf(use, { id, api: apiOf(proxy.url) });
    await say(chat);
    await until(chat, begun);
    proxy.cut();
    const cut = await until(chat, ({ status }) => status === "error");
    expect(cut.error).toBeInstanceOf(TypeError);
    await act(() => chat().resume());
    await until(chat, asked);
    const done = await approve(chat);
    expect(textsOf(done)).toEqual(await contentsOf(hub.url, id));
    await proxy.close();
  });

  test("an error is shown as it is", async () => {
    const { chat } = pageOf(use, { id: freshId(), api: `${hub.url}/ai-sdk/nothing` });
    act(() => void chat().say(TEXT));
    const { error } = await until(chat, ({ status }) => status === "error");
    expect(error?.message).toMatch(/^there is no template 'nothing'; the templates are /);
  });
});
