import {
  CopilotChat,
  CopilotKitProvider,
  useAgent,
  useDefaultRenderTool,
  useInterrupt,
} from "@copilotkit/react-core/v2";
import { createRoot } from "react-dom/client";
import "@copilotkit/react-core/v2/styles.css";
import "./style.css";

type Step = { step_id: string; title: string; status: string };
type Plan = { title?: string; status?: string; progress?: number; steps?: Step[] };

function Page({ threadId }: { threadId: string }) {
  useInterrupt({
    render: ({ interrupt, resolve }) => (
      <div className="question" role="group" aria-label="Question">
        <p>{interrupt?.message}</p>
        <Answer
          options={interrupt?.responseSchema?.["enum"] as string[] | undefined}
          give={(text) => void resolve(text)}
        />
      </div>
    ),
  });
  useDefaultRenderTool({ render: ({ name, result }) => <p className="tool">{`${name} → ${result ?? "…"}`}</p> });
  const plan = useAgent().agent.state as Plan;
  return (
    <>
      <header>
        <h1>{plan.title ?? "Ask the shop’s agents"}</h1>
        {plan.status && <p>{plan.status.replace("_", " ")}</p>}
        {plan.status && <progress value={plan.progress ?? 0} max={100} aria-label="Progress" />}
      </header>
      <main>
        <CopilotChat threadId={threadId} labels={{ chatInputPlaceholder: "Sales by region are uneven" }} />
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
    </>
  );
}

function Answer({ options, give }: { options: string[] | undefined; give: (text: string) => void }) {
  if (options)
    return options.map((option) => (
      <button key={option} onClick={() => give(option)}>
        {option}
      </button>
    ));
  return (
    <form action={(form) => give(String(form.get("text")))}>
      <input name="text" aria-label="Answer" required /> <button>Answer</button>
    </form>
  );
}

const dark = matchMedia("(prefers-color-scheme: dark)");
const paint = () => document.documentElement.classList.toggle("dark", dark.matches);
dark.addEventListener("change", paint);
paint();

const threadId = (location.hash ||= `#${crypto.randomUUID()}`).slice(1);
const root = document.getElementById("root");
if (root)
  createRoot(root).render(
    <CopilotKitProvider runtimeUrl="http://127.0.0.1:8000/ag-ui" agentId="business_operations" enableInspector={false}>
      <Page threadId={threadId} />
    </CopilotKitProvider>,
  );
