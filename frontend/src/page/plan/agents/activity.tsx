/** What each agent is doing now. */
import { makeStyles, tokens } from "@fluentui/react-components";
import { memo } from "react";
import { isPlanEnded, type MessageState, type Snapshot } from "../../../client/index.js";
import { isPaused } from "../status/labels.js";
import { AgentFace, AgentName } from "./agent_name.js";
import { Pulse } from "./pulse.js";

export type Doing = "thinking" | "acting" | "working";

export interface Activity {
  readonly agent: string;
  readonly doing: Doing;
}

export const ACTIVITY_LABELS: Readonly<Record<Doing, string>> = {
  thinking: "Thinking…",
  acting: "Acting…",
  working: "Working…",
};

/** How many of the newest messages are considered. */
const NEWEST = 200;

/**
 * The agents at work, by name: those with a step in progress, a running tool, or an unfinished message.
 */
export function activities(plan: Snapshot): readonly Activity[] {
  if (standsStill(plan)) return [];
  const doing = new Map<string, Doing>();
  for (const step of plan.steps) {
    if (step.agent_name && (step.status === "in_progress" || step.status === "retrying"))
      doing.set(step.agent_name, "working");
  }
  const lastSaid = new Map<string, MessageState>();
  for (const message of plan.messages.slice(-NEWEST)) lastSaid.set(message.agent_name, message);
  for (const [agent, message] of lastSaid) {
    const current = doingOf(message);
    const since = plan.messages.at(-1) === message || message.streaming || doing.has(agent);
    if (current && since && !isStepOver(plan, message.step_id)) doing.set(agent, current);
  }
  for (const call of plan.tool_calls.slice(-NEWEST)) if (call.phase === "started") doing.set(call.agent_name, "acting");
  return [...doing].map(([agent, what]) => ({ agent, doing: what })).sort((a, b) => a.agent.localeCompare(b.agent));
}

function standsStill(plan: Snapshot): boolean {
  return isPlanEnded(plan.status) || isPaused(plan);
}

function doingOf({ message_type, streaming, data }: MessageState): Doing | null {
  if (data?.["signal"] !== undefined) return null; // a signal's sender, who does not work on the plan
  if (message_type === "thinking") return "thinking";
  if (message_type === "action") return "acting";
  return streaming ? "working" : null;
}

function isStepOver(plan: Snapshot, stepId: string | undefined): boolean {
  const status = plan.steps.find(({ step_id }) => step_id === stepId)?.status;
  return status !== undefined && status !== "in_progress" && status !== "retrying";
}

export function sameActivities(one: readonly Activity[], other: readonly Activity[]): boolean {
  return (
    one.length === other.length &&
    one.every(({ agent, doing }, at) => agent === other[at]?.agent && doing === other[at].doing)
  );
}

const useStyles = makeStyles({
  strip: { display: "flex", flexWrap: "wrap", columnGap: tokens.spacingHorizontalL, rowGap: tokens.spacingVerticalXS },
  one: {
    display: "inline-flex",
    alignItems: "center",
    gap: tokens.spacingHorizontalS,
    color: tokens.colorNeutralForeground2,
    fontSize: tokens.fontSizeBase200,
  },
});

/** The agents at work. Not announced to screen readers; results are. */
export const ActivityStrip = memo(function ActivityStrip({ activities }: { readonly activities: readonly Activity[] }) {
  const styles = useStyles();
  return (
    <ul className={styles.strip} aria-label="At work" style={{ listStyle: "none", margin: 0, padding: 0 }}>
      {activities.map(({ agent, doing }) => (
        <li key={agent} className={styles.one} data-doing={doing}>
          <AgentFace name={agent} size={20} />
          <AgentName name={agent} small />
          <span>{ACTIVITY_LABELS[doing]}</span>
          <Pulse />
        </li>
      ))}
    </ul>
  );
});
