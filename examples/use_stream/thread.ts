import { useStream } from "@langchain/langgraph-sdk/react";

export type Step = { step_id: string; title: string; status: string };
export type Plan = { title?: string; status: string; progress?: number; steps: Step[] };
export type Message = {
  id?: string;
  type: "human" | "ai" | "tool";
  name?: string;
  content: string;
  tool_calls?: { id?: string; name: string; args: object }[];
  additional_kwargs?: { message_type?: string };
};
export type Question = { kind: string; prompt: string; options?: string[] };

export const useThread = (threadId: string) =>
  useStream<{ messages: Message[]; plan?: Plan }, { InterruptType: Question }>({
    apiUrl: "http://127.0.0.1:8000/langgraph",
    assistantId: "business_operations",
    threadId,
    reconnectOnMount: () => localStorage, // so that every tab of this browser joins the run
  });
