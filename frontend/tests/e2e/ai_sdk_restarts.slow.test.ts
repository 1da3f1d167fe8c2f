/** `useChat` while hubs are stopped, killed and started again. P-AIS-7. */
import "../clients/fake_document.js";
import { act, cleanup } from "@testing-library/react";
import { afterEach, describe, expect, test } from "vitest";
import { Hub } from "../hub/hub.js";
import { Redis } from "../hub/redis.js";
import { HOOKS } from "../clients/ai_sdk_hooks.js";
import { apiOf, approvalOf, asked, begun, ended, page, say, textsOf, until } from "../clients/ai_sdk_pages.js";

const ENGINE = { PLANCAST_ENGINE: "embedded", PLANCAST_PACE: "0.3" };

afterEach(cleanup);

async function contentsOf(hub: Hub, planId: string): Promise<readonly string[]> {
  const plan = (await (await fetch(`${hub.url}/api/plans/${planId}`)).json()) as {
    messages: { content: string; message_type: string }[];
  };
  return plan.messages.filter(({ message_type: type }) => type !== "thinking").map(({ content }) => content);
}

describe.each(HOOKS)("$name", ({ use }) => {
  test.each(["SIGTERM", "SIGKILL"] as const)("a hub that is restarted in the midst: %s", async (signal) => {
    const hub = await Hub.start(ENGINE);
    try {
      const { chat } = page(use, { id: "chat-1", api: apiOf(hub.url) });
      await say(chat);
      await until(chat, begun);
      await hub.end(signal);
      const cut = await until(chat, ({ status }) => status === "error");
      expect(cut.error).toBeInstanceOf(TypeError);
      await hub.begin();
      await act(() => chat().resume());
      await until(chat, asked);
      await act(() => chat().approve(approvalOf(chat()), true));
      const done = await until(chat, ended);
      const contents = await contentsOf(hub, "chat-1");
      expect(textsOf(done).slice(-1)).toEqual(contents.slice(-1));
    } finally {
      await hub.close();
    }
  });

  test("two hubs on Redis, one of which is drained", async () => {
    const redis = await Redis.start();
    const working = await Hub.start({ ...ENGINE, PLANCAST_LOG: redis.url });
    const other = await Hub.start({ PLANCAST_LOG: redis.url });
    try {
      const first = page(use, { id: "chat-1", api: apiOf(working.url) });
      await say(first.chat);
      await until(first.chat, begun);
      const second = page(use, { id: "chat-1", api: apiOf(other.url), resume: true });
      await until(second.chat, begun);
      await other.end();
      await until(second.chat, ({ status }) => status === "error");
      await other.begin();
      await act(() => second.chat().resume());
      await until(second.chat, asked);
      await act(() => second.chat().approve(approvalOf(second.chat()), true));
      const done = await until(second.chat, ended);
      expect(textsOf(done)).toEqual(await contentsOf(other, "chat-1"));
      await act(() => first.chat().resume());
      expect(textsOf(await until(first.chat, ended))).toEqual(textsOf(done));
    } finally {
      await other.close();
      await working.close();
      await redis.close();
    }
  });
});
