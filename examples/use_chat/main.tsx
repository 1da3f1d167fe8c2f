/** A chat page: the conversation, the agents' questions, and the steps of the newest plan. */
import { useEffect } from "react";
import { createRoot } from "react-dom/client";
import Markdown from "react-markdown";
import { api, messagesOf, type PlanMessage, usePlanChat } from "./chat";
import "./style.css";

type Chat = ReturnType<typeof usePlanChat>;
type Part = PlanMessage["parts"][number];
type Tool = Extract<Part, { type: "dynamic-tool" }>;
type Question = { kind: string; prompt: string; options?: string[] };

function App({ id, messages }: { id: string; messages: PlanMessage[] }) {
  const chat = usePlanChat(id, messages);
  const newest = chat.messages.at(-1)?.parts ?? [];
  const plan = newest.find((part) => part.type === "data-plan")?.data;
  const steps = newest.flatMap((part) => (part.type === "data-step" ? [part.data] : []));
  const isWorking = ["pending", "in_progress", "waiting", "paused"].includes(plan?.status ?? "");
  useAnswersGivenElsewhere(chat);
  return (
    <>
      <header>
        <h1>{plan?.title ?? "Ask the shop’s agents"}</h1>
        {plan && <p className={`status ${plan.status}`}>{plan.status.replace("_", " ")}</p>}
        {isWorking && <button onClick={() => void fetch(`${api}/${id}/stop`, { method: "POST" })}>Cancel</button>}
        {plan && <progress value={plan.progress ?? 0} max={100} aria-label="Progress" />}
      </header>
      <main>
        <section aria-label="Conversation">
          <div>
            {chat.messages.map((message) => (
              <article key={message.id} className={message.role}>
                {message.parts.map((part, at) => (
                  <PartView key={at} part={part} chat={chat} />
                ))}
              </article>
            ))}
            {chat.error && (
              <p className="error" role="alert">
                {chat.error.message} <button onClick={() => void chat.resumeStream()}>Reconnect</button>
              </p>
            )}
          </div>
        </section>
        {steps.length > 0 && (
          <ol aria-label="Steps">
            {steps.map((step) => (
              <li key={step.step_id} className={step.status} title={step.status.replace("_", " ")}>
                {step.title}
              </li>
            ))}
          </ol>
        )}
      </main>
      <Composer disabled={isWorking} send={(text) => void chat.sendMessage({ text })} />
    </>
  );
}

function PartView({ part, chat }: { part: Part; chat: Chat }) {
  switch (part.type) {
    case "text":
      return (
        <div className="text">
          <Agent of={part.providerMetadata} />
          <Markdown>{part.text}</Markdown>
        </div>
      );
    case "reasoning":
      return (
        <p className="thought">
          <Agent of={part.providerMetadata} /> {part.text}
        </p>
      );
    case "dynamic-tool":
      return part.toolName === "ask_person" ? <QuestionView part={part} chat={chat} /> : <ToolView part={part} />;
    default:
      return null;
  }
}

function Agent({ of }: { of: Extract<Part, { type: "text" }>["providerMetadata"] }) {
  const agent = of?.["plancast"]?.["agent_name"];
  return typeof agent === "string" ? <b>{agent}</b> : null;
}

function ToolView({ part }: { part: Tool }) {
  const result = part.state === "output-error" ? part.errorText : part.state === "output-available" ? part.output : "…";
  return (
    <p className="tool">
      {part.toolName} → {typeof result === "string" ? result : JSON.stringify(result)}
    </p>
  );
}

function QuestionView({ part, chat }: { part: Tool; chat: Chat }) {
  const question = part.input as Question;
  const { toolCallId } = part;
  const say = (output: string) => void chat.addToolOutput({ tool: "ask_person", toolCallId, output });
  const approve = (approved: boolean) => {
    if (part.state === "approval-requested") void chat.addToolApprovalResponse({ id: part.approval.id, approved });
  };
  return (
    <div className="question" role="group" aria-label="Question">
      <p>{question.prompt}</p>
      {part.state === "approval-requested" ? (
        <>
          <button onClick={() => approve(true)}>Yes</button> <button onClick={() => approve(false)}>No</button>
        </>
      ) : part.state !== "input-available" ? (
        <p className="answer">{answerOf(part)}</p>
      ) : question.options ? (
        question.options.map((option) => (
          <button key={option} onClick={() => say(option)}>
            {option}
          </button>
        ))
      ) : (
        <Composer send={say} />
      )}
    </div>
  );
}

function answerOf(part: Tool): string {
  if (part.approval?.approved !== undefined) return part.approval.approved ? "Yes" : "No";
  return part.state === "output-available" && typeof part.output === "string" ? part.output : "Answered";
}

function Composer({ send, disabled = false }: { send: (text: string) => void; disabled?: boolean }) {
  return (
    <form action={(form) => send(String(form.get("text")))}>
      <input name="text" aria-label="Message" placeholder="Sales by region are uneven" required disabled={disabled} />
      <button disabled={disabled}>Send</button>
    </form>
  );
}

/** Reads the plan again when the tab is shown: another tab or client may have answered its question meanwhile. */
function useAnswersGivenElsewhere({ status, resumeStream }: Chat) {
  useEffect(() => {
    const look = () => {
      if (status === "ready") void resumeStream();
    };
    window.addEventListener("focus", look);
    return () => window.removeEventListener("focus", look);
  }, [status, resumeStream]);
}

const id = (location.hash ||= `#${crypto.randomUUID()}`).slice(1);
const root = document.getElementById("root");
if (root) createRoot(root).render(<App id={id} messages={await messagesOf(id)} />);
