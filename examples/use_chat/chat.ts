import { useChat } from "@ai-sdk/react";
import {
  DefaultChatTransport,
  lastAssistantMessageIsCompleteWithApprovalResponses as approvalsGiven,
  lastAssistantMessageIsCompleteWithToolCalls as answersGiven,
  type UIMessage,
} from "ai";

export type Plan = { title?: string; status: string; progress?: number };
export type Step = { step_id: string; title: string; status: string };
export type PlanMessage = UIMessage<unknown, { plan: Plan; step: Step }>;

export const api = "http://127.0.0.1:8000/ai-sdk/business_operations";
const transport = new DefaultChatTransport<PlanMessage>({
  api,
  prepareReconnectToStreamRequest: ({ id }) => ({ api: `${api}/${id}/stream?ended=replay` }),
});

export const messagesOf = async (id: string) => (await (await fetch(`${api}/${id}/messages`)).json()) as PlanMessage[];

export const usePlanChat = (id: string, messages: PlanMessage[]) =>
  useChat({
    id,
    messages,
    transport,
    resume: true,
    sendAutomaticallyWhen: (chat) => approvalsGiven(chat) || answersGiven(chat),
  });
