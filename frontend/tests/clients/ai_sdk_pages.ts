/** Pages with a chat, and what their chat shows. */
import "./fake_document.js";
import { act, renderHook } from "@testing-library/react";
import type { Chat, Options } from "./ai_sdk_hooks.js";
import type { Message, Part } from "./ai_sdk_versions.js";

export const TEXT = "Sales by region are uneven";
export type Use = (options: Options) => Chat;

export const apiOf = (url: string) => `${url}/ai-sdk/business_operations`;

/** A page with a chat; closing it is what a browser does when the tab is closed. */
export function page(use: Use, options: Options) {
  const { result, unmount } = renderHook(() => use(options));
  return { chat: () => result.current, close: unmount };
}

export async function until(chat: () => Chat, holds: (chat: Chat) => boolean): Promise<Chat> {
  const deadline = Date.now() + 240_000; // generous, for busy machines
  while (!holds(chat())) {
    if (Date.now() > deadline) throw new Error(`not reached: ${JSON.stringify(chat(), null, 1)}`);
    await act(() => new Promise((resolve) => setTimeout(resolve, 10)));
  }
  return chat();
}

export const answerOf = (chat: Chat): Message | undefined =>
  chat.messages.filter(({ role }) => role === "assistant").at(-1);
export const partsOf = (chat: Chat): readonly Part[] => answerOf(chat)?.parts ?? [];
export const questionOf = (chat: Chat) => partsOf(chat).find(({ toolName }) => toolName === "ask_person");
const questionsOf = (chat: Chat) => partsOf(chat).filter(({ toolName }) => toolName === "ask_person");
export const openIn = (chat: Chat) =>
  questionsOf(chat).filter(({ state }) => state === "approval-requested" || state === "input-available");
/** How many questions have an answer that was received from the hub. */
export const answeredIn = (chat: Chat) =>
  questionsOf(chat).filter(({ state, providerExecuted }) => state === "output-available" && providerExecuted).length;
export const textsOf = (chat: Chat) =>
  partsOf(chat).flatMap(({ type, text }) => (type === "text" ? [String(text)] : []));
export const planOf = (chat: Chat) => partsOf(chat).find(({ type }) => type === "data-plan")?.["data"];
export const begun = (chat: Chat) => partsOf(chat).some(({ type }) => type === "reasoning" || type === "text");
export const asked = (chat: Chat) => chat.status === "ready" && questionOf(chat)?.["state"] === "approval-requested";
export const ended = (chat: Chat) => chat.status === "ready" && JSON.stringify(planOf(chat)).includes('"completed"');
export const approvalOf = (chat: Chat) => String((questionOf(chat)?.["approval"] as { id: string } | undefined)?.id);

export async function say(chat: () => Chat, text = TEXT): Promise<void> {
  act(() => void chat().say(text));
  await until(chat, ({ status }) => status !== "ready");
}

export async function approve(chat: () => Chat, approved = true): Promise<Chat> {
  await act(() => chat().approve(approvalOf(chat()), approved));
  return until(chat, ended);
}

/** How many of these calls of `fetch` are POSTs to a chat. */
export const postsIn = (calls: readonly Parameters<typeof fetch>[]) =>
  calls.filter(([url, init]) => init?.method === "POST" && typeof url === "string" && url.includes("/ai-sdk/")).length;

/** The texts of a plan's messages, as the hub has them. */
export async function contentsOf(hub: string, planId: string): Promise<readonly string[]> {
  const plan = (await (await fetch(`${hub}/api/plans/${planId}`)).json()) as {
    messages: { content: string; message_type: string }[];
  };
  return plan.messages.filter(({ message_type: type }) => type !== "thinking").map(({ content }) => content);
}
