/** `useChat` of ai 7 over `WebSocketChatTransport`, as a real hook, with a real hub. */
import "./fake_document.js";
import { act, cleanup } from "@testing-library/react";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { Hub } from "../hub/hub.js";
import { Proxy } from "../hub/proxy.js";
import { useSocket } from "./ai_sdk_hooks.js";
import {
  apiOf,
  approve,
  asked,
  begun,
  contentsOf,
  page,
  questionOf,
  say,
  TEXT,
  textsOf,
  until,
} from "./ai_sdk_pages.js";
import type { Message } from "./ai_sdk_versions.js";

let hub: Hub;

beforeAll(async () => {
  hub = await Hub.start({ PLANCAST_ENGINE: "embedded", PLANCAST_PACE: "0.05" });
});
afterAll(() => hub.close());
afterEach(cleanup);

test("start, stream, reload in the midst, approval, end, and the next message", async () => {
  const api = apiOf(hub.url);
  const first = page(useSocket, { api, id: "reloaded" });
  await say(first.chat);
  await until(first.chat, begun);
  first.close();
  const messages = (await (await fetch(`${api}/reloaded/messages`)).json()) as Message[];
  const { chat } = page(useSocket, { api, id: "reloaded", resume: true, messages });
  await until(chat, asked);
  const done = await approve(chat);
  expect(questionOf(done)).toMatchObject({ state: "output-available", output: { approved: true } });
  expect(textsOf(done)).toEqual(await contentsOf(hub.url, "reloaded"));
  await say(chat, "And by month?");
  await until(chat, asked);
  const refused = await approve(chat, false);
  expect(refused.messages.map(({ role }) => role)).toEqual(["user", "assistant", "user", "assistant"]);
  expect(textsOf(refused)).toEqual(await contentsOf(hub.url, "reloaded.2"));
});

test("a line that is cut is an error, and resuming shows everything once", async () => {
  const proxy = await Proxy.before(hub.port);
  const { chat } = page(useSocket, { api: apiOf(proxy.url), id: "cut" });
  await say(chat);
  await until(chat, begun);
  proxy.cut();
  const cut = await until(chat, ({ status }) => status === "error");
  expect(cut.error).toBeInstanceOf(TypeError);
  await act(() => chat().resume());
  await until(chat, asked);
  const done = await approve(chat);
  expect(textsOf(done)).toEqual(await contentsOf(hub.url, "cut"));
  await proxy.close();
});

test("leaving cancels nothing, and the connection stays in use", async () => {
  const { chat } = page(useSocket, { api: apiOf(hub.url), id: "left" });
  await say(chat);
  await until(chat, begun);
  await act(() => chat().leave());
  await act(() => chat().resume());
  await until(chat, asked);
});

test("an error is shown as it is", async () => {
  const { chat } = page(useSocket, { api: `${hub.url}/ai-sdk/nothing`, id: "unknown" });
  act(() => void chat().say(TEXT));
  const { error } = await until(chat, ({ status }) => status === "error");
  expect(error?.message).toMatch(/^there is no template 'nothing'; the templates are /);
});
