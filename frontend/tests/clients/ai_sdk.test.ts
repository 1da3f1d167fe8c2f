/** `useChat` of ai 6 and 7, as real hooks, with a real hub and its template `business_operations`. */
import "./fake_document.js";
import { act, cleanup, renderHook } from "@testing-library/react";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { Hub } from "../hub/hub.js";
import { Proxy } from "../hub/proxy.js";
import { type Chat, HOOKS, type Options } from "./ai_sdk_hooks.js";
import type { Message, Part } from "./ai_sdk_versions.js";

const TEXT = "Sales by region are uneven";
let hub: Hub;
let count = 0;

beforeAll(async () => {
  hub = await Hub.start({ PLANCAST_ENGINE: "embedded", PLANCAST_PACE: "0.05" });
});
afterAll(() => hub.close());
afterEach(cleanup);

const apiOf = (url: string) => `${url}/ai-sdk/business_operations`;

/** A page with a chat; closing it is what a browser does when the tab is closed. */
function page(use: (options: Options) => Chat, options: Partial<Options> & { readonly id: string }) {
  const all = { api: apiOf(hub.url), ...options };
  const { result, unmount } = renderHook(() => use(all));
  return { chat: () => result.current, close: unmount };
}

async function until(chat: () => Chat, holds: (chat: Chat) => boolean): Promise<Chat> {
  const deadline = Date.now() + 60_000;
  while (!holds(chat())) {
    if (Date.now() > deadline) throw new Error(`not reached: ${JSON.stringify(chat(), null, 1)}`);
    await act(() => new Promise((resolve) => setTimeout(resolve, 10)));
  }
  return chat();
}

const answerOf = (chat: Chat): Message | undefined => chat.messages.filter(({ role }) => role === "assistant").at(-1);
const partsOf = (chat: Chat): readonly Part[] => answerOf(chat)?.parts ?? [];
const questionOf = (chat: Chat) => partsOf(chat).find(({ toolName }) => toolName === "ask_person");
const textsOf = (chat: Chat) => partsOf(chat).flatMap(({ type, text }) => (type === "text" ? [String(text)] : []));
const planOf = (chat: Chat) => partsOf(chat).find(({ type }) => type === "data-plan")?.["data"];
const begun = (chat: Chat) => partsOf(chat).some(({ type }) => type === "reasoning" || type === "text");
const asked = (chat: Chat) => chat.status === "ready" && questionOf(chat)?.["state"] === "approval-requested";
const ended = (chat: Chat) => chat.status === "ready" && JSON.stringify(planOf(chat)).includes('"completed"');
const approvalOf = (chat: Chat) => String((questionOf(chat)?.["approval"] as { id: string } | undefined)?.id);

async function contentsOf(planId: string): Promise<readonly string[]> {
  const plan = (await (await fetch(`${hub.url}/api/plans/${planId}`)).json()) as {
    messages: { content: string; message_type: string }[];
  };
  return plan.messages.filter(({ message_type: type }) => type !== "thinking").map(({ content }) => content);
}

async function say(chat: () => Chat, text = TEXT): Promise<void> {
  act(() => void chat().say(text));
  await until(chat, ({ status }) => status !== "ready");
}

async function approve(chat: () => Chat, approved = true): Promise<Chat> {
  await act(() => chat().approve(approvalOf(chat()), approved));
  return until(chat, ended);
}

describe.each(HOOKS)("$name", ({ use }) => {
  const freshId = () => `chat-${++count}`;

  test("start, stream, approval, end, and the next message", async () => {
    const id = freshId();
    const { chat } = page(use, { id });
    await say(chat);
    await until(chat, asked);
    const done = await approve(chat);
    expect(done.messages.map(({ id }) => id).slice(1)).toEqual([`${id}-answer`]);
    expect(questionOf(done)).toMatchObject({ state: "output-available", output: { approved: true } });
    expect(textsOf(done)).toEqual(await contentsOf(id));
    await say(chat, "And by month?");
    await until(chat, asked);
    const refused = await approve(chat, false);
    expect(refused.messages.map(({ role }) => role)).toEqual(["user", "assistant", "user", "assistant"]);
    expect(questionOf(refused)).toMatchObject({ state: "output-denied" });
    expect(textsOf(refused)).toEqual(await contentsOf(`${id}.2`));
  });

  test("a page that is reloaded in the midst, and one beside it, go on", async () => {
    const id = freshId();
    const first = page(use, { id });
    await say(first.chat);
    await until(first.chat, begun);
    first.close();
    const messages = (await (await fetch(`${apiOf(hub.url)}/${id}/messages`)).json()) as Message[];
    const again = page(use, { id, resume: true, messages });
    const beside = page(use, { id, resume: true });
    await until(again.chat, asked);
    await until(beside.chat, asked);
    expect(again.chat().messages).toHaveLength(2);
    expect(textsOf(beside.chat())).toEqual(textsOf(again.chat()));
    const done = await approve(again.chat);
    expect(textsOf(done)).toEqual(await contentsOf(id));
  });

  test("a question that is answered elsewhere, and then here", async () => {
    const id = freshId();
    const { chat } = page(use, { id });
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
    expect(textsOf(done)).toEqual(await contentsOf(id));
  });

  test("leaving is not cancelling; the stop route cancels", async () => {
    const id = freshId();
    const { chat } = page(use, { id });
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
    const { chat } = page(use, { id, api: apiOf(proxy.url) });
    await say(chat);
    await until(chat, begun);
    proxy.cut();
    const cut = await until(chat, ({ status }) => status === "error");
    expect(cut.error).toBeInstanceOf(TypeError);
    await act(() => chat().resume());
    await until(chat, asked);
    const done = await approve(chat);
    expect(textsOf(done)).toEqual(await contentsOf(id));
    await proxy.close();
  });

  test("an error is shown as it is", async () => {
    const { chat } = page(use, { id: freshId(), api: `${hub.url}/ai-sdk/nothing` });
    act(() => void chat().say(TEXT));
    const { error } = await until(chat, ({ status }) => status === "error");
    expect(error?.message).toMatch(/^there is no template 'nothing'; the templates are /);
  });
});
