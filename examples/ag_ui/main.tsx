/** A thread's page: the conversation, the agents' questions, and the steps of the newest plan. */
import type { Interrupt, Message } from "@ag-ui/client";
import { useEffect } from "react";
import { createRoot } from "react-dom/client";
import Markdown from "react-markdown";
import { useThread } from "./agent";
import "./style.css";

type Plan = { title?: string; status?: string; progress?: number; steps?: Step[] };
type Step = { step_id: string; title: string; status: string };
type Written = { plancast?: { agent_name?: string } };

function App({ id, isNew }: { id: string; isNew: boolean }) {
  const { agent, error, ask, answer, follow } = useThread(id, isNew);
  const plan = agent.state as Plan;
  const isWorking = ["pending", "in_progress", "waiting", "paused"].includes(plan.status ?? "");
  const send = (text: string) => {
    location.hash = id;
    ask(text);
  };
  useAnswersGivenElsewhere(agent.isRunning ? undefined : follow);
  return (
    <>
      <header>
        <h1>{plan.title ?? "Ask the shop’s agents"}</h1>
        {plan.status && <p className={`status ${plan.status}`}>{plan.status.replace("_", " ")}</p>}
        {isWorking && <button onClick={() => void cancel(id)}>Cancel</button>}
        {plan.status && <progress value={plan.progress ?? 0} max={100} aria-label="Progress" />}
      </header>
      <main>
        <section aria-label="Conversation">
          <div>
            {agent.messages.map((message) => (
              <MessageView key={message.id} message={message} />
            ))}
            {agent.pendingInterrupts.map((question) => (
              <QuestionView key={question.id} question={question} answer={answer} />
            ))}
            {error && (
              <p className="error" role="alert">
                {error.message} <button onClick={follow}>Reconnect</button>
              </p>
            )}
          </div>
        </section>
        {plan.steps && (
          <ol aria-label="Steps">
            {plan.steps.map((step) => (
              <li key={step.step_id} className={step.status} title={step.status.replace("_", " ")}>
                {step.title}
              </li>
            ))}
          </ol>
        )}
      </main>
      <Composer disabled={isWorking} send={send} />
    </>
  );
}

function MessageView({ message }: { message: Message }) {
  const agent = (message.metadata as Written | undefined)?.plancast?.agent_name;
  switch (message.role) {
    case "user":
      return <article className="user">{String(message.content)}</article>;
    case "reasoning":
      return (
        <p className="thought">
          <b>{agent}</b> {message.content}
        </p>
      );
    case "tool":
      return <p className="tool">→ {String(message.content)}</p>;
    case "assistant":
      if (message.toolCalls)
        return message.toolCalls.map((call) => (
          <p key={call.id} className="tool">{`${call.function.name}(${call.function.arguments})`}</p>
        ));
      return (
        <article className="text">
          <b>{agent}</b>
          <Markdown>{message.content}</Markdown>
        </article>
      );
    default:
      return null;
  }
}

function QuestionView({ question, answer }: { question: Interrupt; answer: (text: string) => void }) {
  const options = question.responseSchema?.["enum"] as string[] | undefined;
  return (
    <div className="question" role="group" aria-label="Question">
      <p>{question.message}</p>
      {options ? (
        options.map((option) => (
          <button key={option} onClick={() => answer(option)}>
            {option}
          </button>
        ))
      ) : (
        <Composer send={answer} />
      )}
    </div>
  );
}

function Composer({ send, disabled = false }: { send: (text: string) => void; disabled?: boolean }) {
  return (
    <form action={(form) => send(String(form.get("text")))}>
      <input name="text" aria-label="Message" placeholder="Sales by region are uneven" required disabled={disabled} />
      <button disabled={disabled}>Send</button>
    </form>
  );
}

/** Runs the agent when the tab is shown: another tab or client may have answered the question meanwhile. */
function useAnswersGivenElsewhere(follow: (() => void) | undefined) {
  useEffect(() => {
    if (!follow) return;
    window.addEventListener("focus", follow);
    return () => window.removeEventListener("focus", follow);
  }, [follow]);
}

const cancel = (id: string) =>
  fetch(`http://127.0.0.1:8000/ag-ui/agent/business_operations/stop/${id}`, { method: "POST" });

const isNew = !location.hash;
const id = location.hash.slice(1) || crypto.randomUUID();
const root = document.getElementById("root");
if (root) createRoot(root).render(<App id={id} isNew={isNew} />);
