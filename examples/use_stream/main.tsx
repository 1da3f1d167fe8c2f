/** A thread's page: the conversation, the agents' questions, and the steps of the newest plan. */
import { useEffect } from "react";
import { createRoot } from "react-dom/client";
import Markdown from "react-markdown";
import { type Message, type Question, useThread } from "./thread";
import "./style.css";

type Thread = ReturnType<typeof useThread>;

function App({ id }: { id: string }) {
  const thread = useThread(id);
  const { plan } = thread.values;
  const isWorking = ["pending", "in_progress", "waiting", "paused"].includes(plan?.status ?? "");
  const question = isWorking ? thread.interrupt?.value : undefined;
  const ask = (content: string) => void thread.submit({ messages: [{ type: "human", content }] });
  const answer = (resume: string) => void thread.submit(undefined, { command: { resume } });
  const follow = () => void join(thread, id);
  useAnswersGivenElsewhere(follow);
  return (
    <>
      <header>
        <h1>{plan?.title ?? "Ask the shop’s agents"}</h1>
        {plan && <p className={`status ${plan.status}`}>{plan.status.replace("_", " ")}</p>}
        {isWorking && <button onClick={() => void cancel(thread.client, id)}>Cancel</button>}
        {plan && <progress value={plan.progress ?? 0} max={100} aria-label="Progress" />}
      </header>
      <main>
        <section aria-label="Conversation">
          <div>
            {thread.messages.map((message) => (
              <MessageView key={message.id} message={message as Message} />
            ))}
            {question && <QuestionView question={question} answer={answer} />}
            {thread.error !== undefined && (
              <p className="error" role="alert">
                {String(thread.error)} <button onClick={follow}>Reconnect</button>
              </p>
            )}
          </div>
        </section>
        {plan && (
          <ol aria-label="Steps">
            {plan.steps.map((step) => (
              <li key={step.step_id} className={step.status} title={step.status.replace("_", " ")}>
                {step.title}
              </li>
            ))}
          </ol>
        )}
      </main>
      <Composer disabled={isWorking} send={ask} />
    </>
  );
}

function MessageView({ message }: { message: Message }) {
  const { type, name, content, tool_calls: calls, additional_kwargs: more } = message;
  if (type === "human") return <article className="user">{content}</article>;
  if (type === "tool") return <p className="tool">{`${name ?? "tool"} → ${content}`}</p>;
  if (calls?.length)
    return calls.map((call) => <p key={call.id} className="tool">{`${call.name}(${JSON.stringify(call.args)})`}</p>);
  if (more?.message_type === "thinking")
    return (
      <p className="thought">
        <b>{name}</b> {content}
      </p>
    );
  return (
    <article className="text">
      <b>{name}</b>
      <Markdown>{content}</Markdown>
    </article>
  );
}

function QuestionView({ question, answer }: { question: Question; answer: (text: string) => void }) {
  return (
    <div className="question" role="group" aria-label="Question">
      <p>{question.prompt}</p>
      {question.options ? (
        question.options.map((option) => (
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

/** Reads the thread again when the tab is shown: another tab or client may have answered the question meanwhile. */
function useAnswersGivenElsewhere(follow: () => void) {
  useEffect(() => {
    window.addEventListener("focus", follow);
    return () => window.removeEventListener("focus", follow);
  }, [follow]);
}

/** Joins the newest run, unless the page follows it. */
async function join({ client, isLoading, joinStream }: Thread, id: string) {
  const run = isLoading ? undefined : await newestRun(client, id);
  if (run) await joinStream(run.run_id);
}

/** Cancels the plan also while it waits for an answer, when the page follows no run. */
async function cancel(client: Thread["client"], id: string) {
  const run = await newestRun(client, id);
  if (run) await client.runs.cancel(id, run.run_id);
}

async function newestRun(client: Thread["client"], id: string) {
  const [run] = await client.runs.list(id, { limit: 1 });
  return run;
}

const id = (location.hash ||= `#${crypto.randomUUID()}`).slice(1);
const root = document.getElementById("root");
if (root) createRoot(root).render(<App id={id} />);
