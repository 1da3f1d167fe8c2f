/** The data of a card on the wall. Pure. */
import type { PlancastError, PlanPhase, PlanStatus, PlanView, Snapshot } from "../../client/index.js";
import { planProgress } from "../plan/status/labels.js";

export interface CardView {
  readonly phase: PlanPhase;
  readonly error: PlancastError | null;
  /** null: not known yet. */
  readonly title: string | null;
  readonly status: PlanStatus | null;
  readonly progress: number | undefined;
  /** The titles of the running steps. */
  readonly steps: string;
  readonly stepsOver: number;
  readonly stepsInAll: number;
  readonly agent: string;
  readonly text: string;
  readonly streaming: boolean;
  /** The number of open questions. */
  readonly questions: number;
  readonly updatedAt: string | undefined;
}

const EXCERPT = 240;

export function cardView({ snapshot, phase, error }: PlanView): CardView {
  if (!snapshot) return { ...NOTHING, phase, error };
  const last = snapshot.messages.at(-1);
  return {
    phase,
    error,
    title: snapshot.title ?? null,
    status: snapshot.offset === 0 ? null : snapshot.status,
    progress: planProgress(snapshot),
    ...stepsOf(snapshot),
    agent: last?.agent_name ?? "",
    text: excerpt(last?.content ?? snapshot.content ?? "", last?.streaming ?? false),
    streaming: last?.streaming ?? false,
    questions: snapshot.inputs.filter(({ answered_at }) => answered_at === undefined).length,
    updatedAt: snapshot.updated_at,
  };
}

const NOTHING = {
  title: null,
  status: null,
  progress: undefined,
  steps: "",
  stepsOver: 0,
  stepsInAll: 0,
  agent: "",
  text: "",
  streaming: false,
  questions: 0,
  updatedAt: undefined,
};

export function sameCard(one: CardView, other: CardView): boolean {
  return (Object.keys(one) as (keyof CardView)[]).every((name) => one[name] === other[name]);
}

function stepsOf({ steps }: Snapshot): Pick<CardView, "steps" | "stepsOver" | "stepsInAll"> {
  const working = steps.filter(({ status }) => status === "in_progress" || status === "retrying");
  return {
    steps: working.map(({ title, step_id }) => title ?? step_id).join(" · "),
    stepsOver: steps.filter(({ status }) => status === "completed" || status === "skipped").length,
    stepsInAll: steps.length,
  };
}

/** An excerpt of a message without Markdown syntax: its end while it is streaming, else its beginning. */
export function excerpt(text: string, growing: boolean): string {
  const part = growing ? text.slice(-2 * EXCERPT) : text.slice(0, 2 * EXCERPT);
  const plain = part
    .replace(/```\w*|[*_`#>|]+/g, "")
    .replace(/\[([^\]]*)\]\([^)]*\)/g, "$1")
    .replace(/^\s*[-+]\s/gm, "")
    .replace(/\s+/g, " ")
    .trim();
  if (plain.length <= EXCERPT) return plain;
  return growing ? `…${plain.slice(-EXCERPT)}` : `${plain.slice(0, EXCERPT)}…`;
}
