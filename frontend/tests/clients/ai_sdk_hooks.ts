/** `useChat` of both versions as a page uses it, with the transport that the documentation shows. */
import { useChat as useSevenChat } from "@ai-sdk/react";
import * as seven from "ai";
import { useChat as useSixChat } from "ai-sdk-react-6";
import * as six from "ai-6";
import { WebSocket } from "ws";
import type { Message } from "./ai_sdk_versions.js";

export interface Chat {
  readonly id: string;
  readonly messages: readonly Message[];
  readonly status: string;
  readonly error: Error | undefined;
  readonly say: (text: string) => Promise<void>;
  readonly approve: (id: string, approved: boolean) => Promise<void>;
  readonly execute: (toolCallId: string, output: unknown) => Promise<void>;
  readonly regenerate: () => Promise<void>;
  readonly resume: () => Promise<void>;
  readonly leave: () => Promise<void>;
}

export interface Options {
  readonly api: string;
  readonly id: string;
  readonly resume?: boolean;
  readonly messages?: readonly Message[];
}

function useSix({ api, id, resume = false, messages = [] }: Options): Chat {
  const chat = useSixChat({
    id,
    resume,
    messages: messages as six.UIMessage[],
    transport: new six.DefaultChatTransport({
      api,
      prepareReconnectToStreamRequest: ({ id: chatId }) => ({ api: `${api}/${chatId}/stream?ended=replay` }),
    }),
    sendAutomaticallyWhen: (state) =>
      six.lastAssistantMessageIsCompleteWithApprovalResponses(state) ||
      six.lastAssistantMessageIsCompleteWithToolCalls(state),
  });
  return {
    ...chat,
    messages: chat.messages,
    say: (text) => chat.sendMessage({ text }),
    approve: async (approvalId, approved) => chat.addToolApprovalResponse({ id: approvalId, approved }),
    execute: async (toolCallId, output) => chat.addToolOutput({ tool: "ask_person", toolCallId, output }),
    regenerate: () => chat.regenerate(),
    resume: () => chat.resumeStream(),
    leave: () => chat.stop(),
  };
}

type SevenTransport = seven.ChatTransport<seven.UIMessage>;

function useSevenOver(transport: SevenTransport, { id, resume = false, messages = [] }: Options): Chat {
  const chat = useSevenChat({
    id,
    resume,
    messages: messages as seven.UIMessage[],
    transport,
    sendAutomaticallyWhen: (state) =>
      seven.lastAssistantMessageIsCompleteWithApprovalResponses(state) ||
      seven.lastAssistantMessageIsCompleteWithToolCalls(state),
  });
  return {
    ...chat,
    messages: chat.messages,
    say: (text) => chat.sendMessage({ text }),
    approve: async (approvalId, approved) => chat.addToolApprovalResponse({ id: approvalId, approved }),
    execute: async (toolCallId, output) => chat.addToolOutput({ tool: "ask_person", toolCallId, output }),
    regenerate: () => chat.regenerate(),
    resume: () => chat.resumeStream(),
    leave: () => chat.stop(),
  };
}

function useSeven(options: Options): Chat {
  const { api } = options;
  const transport = new seven.DefaultChatTransport({
    api,
    prepareReconnectToStreamRequest: ({ id }) => ({ api: `${api}/${id}/stream?ended=replay` }),
  });
  return useSevenOver(transport, options);
}

type SocketConstructor = seven.WebSocketChatTransportInitOptions<seven.UIMessage>["webSocket"] & object;

/** Node 20 has none of its own. */
const nodeSocket = WebSocket as unknown as SocketConstructor;

/** `ai` 7 over a WebSocket. */
export function useSocket(options: Options): Chat {
  const transport = new seven.WebSocketChatTransport({
    url: `${options.api}/ws`,
    webSocket: nodeSocket,
    prepareReconnectToStreamRequest: () => ({ body: { ended: "replay" } }),
  });
  return useSevenOver(transport, options);
}

export const HOOKS: readonly { readonly name: string; readonly use: (options: Options) => Chat }[] = [
  { name: "ai 6", use: useSix },
  { name: "ai 7", use: useSeven },
];
