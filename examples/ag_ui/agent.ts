import { HttpAgent, type RunAgentParameters } from "@ag-ui/client";
import { useEffect, useReducer, useState } from "react";

const url = "http://127.0.0.1:8000/ag-ui/business_operations";

/** The agent of a thread; the component renders again at every change of it. */
export function useThread(threadId: string, isNew: boolean) {
  const [agent] = useState(() => new HttpAgent({ url, threadId }));
  const [error, setError] = useState<Error>();
  const [, changed] = useReducer((count: number) => count + 1, 0);
  const run = (given: RunAgentParameters = {}) => {
    setError(undefined);
    agent.runAgent(given, { onRunErrorEvent: ({ event }) => setError(new Error(event.message)) }).catch(setError);
  };
  useEffect(() => {
    const { unsubscribe } = agent.subscribe({
      onMessagesChanged: changed,
      onStateChanged: changed,
      onRunInitialized: changed,
      onRunFinalized: changed,
    });
    if (!isNew) run(); // without a new message, a run shows the thread and follows it
    return unsubscribe;
  }, [agent]);
  const ask = (content: string) => {
    agent.addMessage({ id: crypto.randomUUID(), role: "user", content });
    run();
  };
  const answer = (payload: string) =>
    run({ resume: agent.pendingInterrupts.map(({ id }) => ({ interruptId: id, status: "resolved", payload })) });
  const follow = () => {
    agent.pendingInterrupts = []; // the questions may be answered by now
    run();
  };
  return { agent, error, ask, answer, follow };
}
