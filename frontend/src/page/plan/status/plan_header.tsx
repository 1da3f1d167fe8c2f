import { Badge, type BadgeProps, makeStyles, ProgressBar, tokens } from "@fluentui/react-components";
import { memo } from "react";
import {
  type Connection,
  isPlanEnded,
  workerOf,
  type PlancastError,
  type PlanPhase,
  type Snapshot,
} from "../../../client/index.js";
import { useNow } from "../../shell/now.js";
import { ConnectionTag } from "./connection_tag.js";
import { between, duration, moment } from "./durations.js";
import { acknowledgedSignal, isPaused, isStalled, planProgress, planStatusLabel } from "./labels.js";
import { PlanActions } from "./plan_actions.js";

const useStyles = makeStyles({
  header: {
    display: "flex",
    flexDirection: "column",
    gap: tokens.spacingVerticalS,
    padding: `${tokens.spacingVerticalL} ${tokens.spacingHorizontalXL} ${tokens.spacingVerticalM}`,
    "@container plan (max-width: 640px)": { padding: `${tokens.spacingVerticalM} ${tokens.spacingHorizontalM}` },
  },
  row: {
    display: "flex",
    flexWrap: "wrap",
    alignItems: "center",
    gap: tokens.spacingHorizontalM,
    rowGap: tokens.spacingVerticalS,
  },
  title: {
    margin: 0,
    fontSize: tokens.fontSizeBase600,
    lineHeight: tokens.lineHeightBase600,
    fontWeight: tokens.fontWeightSemibold,
    overflowWrap: "anywhere",
    textWrap: "balance",
    "@container plan (max-width: 640px)": {
      flexBasis: "100%",
      fontSize: tokens.fontSizeBase500,
      lineHeight: tokens.lineHeightBase500,
    },
  },
  apart: { marginLeft: "auto" },
  content: { margin: 0, color: tokens.colorNeutralForeground2, overflowWrap: "anywhere" },
  quiet: {
    flexShrink: 0,
    color: tokens.colorNeutralForeground3,
    fontSize: tokens.fontSizeBase200,
    fontVariantNumeric: "tabular-nums",
  },
  worker: {
    color: tokens.colorNeutralForeground3,
    fontSize: tokens.fontSizeBase200,
    overflowWrap: "anywhere",
    "@container plan (max-width: 640px)": { display: "none" },
  },
  progress: {
    display: "flex",
    alignItems: "center",
    gap: tokens.spacingHorizontalM,
    flexGrow: 1,
    flexBasis: "280px",
    minWidth: 0,
    minHeight: "24px",
  },
  bar: { flexGrow: 1, flexShrink: 1, minWidth: 0 },
  badge: { padding: `0 ${tokens.spacingHorizontalMNudge}`, whiteSpace: "nowrap" },
});

interface Props {
  readonly plan: Snapshot;
  readonly connection: Connection;
  readonly phase: PlanPhase;
  readonly error: PlancastError | null;
  /** Whether a past snapshot is shown, without actions. */
  readonly past: boolean;
}

export const PlanHeader = memo(function PlanHeader({ plan, connection, phase, error, past }: Props) {
  const styles = useStyles();
  return (
    <header className={styles.header}>
      <div className={styles.row}>
        <h1 className={styles.title}>{plan.title ?? plan.plan_id}</h1>
        <StatusBadge plan={plan} />
        <span className={styles.apart}>
          <ConnectionTag connection={connection} phase={phase} error={error} />
        </span>
      </div>
      <div className={styles.row}>
        <Progress plan={plan} past={past} />
        {!past && <Worker plan={plan} />}
        {!past && <PlanActions plan={plan} />}
      </div>
      {plan.content && <p className={styles.content}>{plan.content}</p>}
    </header>
  );
});

/** Who works on the plan, or did until it was gone; there is no room for it in a narrow view. */
function Worker({ plan }: { readonly plan: Snapshot }) {
  const styles = useStyles();
  const worker = isStalled(plan) ? plan.worker : workerOf(plan);
  if (!worker) return null;
  const gone = worker.state === "lost";
  return (
    <span className={styles.worker} title={`Last sign of life: ${moment(worker.seen_at)}`}>
      {gone ? `${worker.name} is gone` : `${worker.name} works on it`}
    </span>
  );
}

function Progress({ plan, past }: { readonly plan: Snapshot; readonly past: boolean }) {
  const styles = useStyles();
  const percent = planProgress(plan);
  const known = percent !== undefined;
  const underWay = !isPlanEnded(plan.status);
  const colour = plan.status === "error" ? "error" : plan.status === "completed" ? "success" : "brand";
  if (!known && !underWay) return <Elapsed plan={plan} past={past} />;
  return (
    <div className={styles.progress}>
      <ProgressBar
        className={styles.bar}
        thickness="large"
        color={colour}
        aria-label="Progress of the plan"
        {...(known ? { value: percent / 100 } : {})}
      />
      {known && <span className={styles.quiet}>{Math.round(percent)} %</span>}
      <Elapsed plan={plan} past={past} />
    </div>
  );
}

function Elapsed({ plan, past }: { readonly plan: Snapshot; readonly past: boolean }) {
  const styles = useStyles();
  const counting = plan.ended_at === undefined && !past;
  const now = useNow(1_000, counting);
  const ms = between(plan.created_at, plan.ended_at ?? (past ? plan.updated_at : now));
  if (ms === undefined || plan.created_at === undefined) return null;
  return (
    <span className={styles.quiet} title={`Started ${moment(plan.created_at)}`}>
      {plan.ended_at === undefined ? duration(ms) : `took ${duration(ms)}`}
    </span>
  );
}

const COLOURS: Readonly<Record<Snapshot["status"], BadgeProps["color"]>> = {
  pending: "subtle",
  in_progress: "brand",
  waiting: "warning",
  completed: "success",
  error: "danger",
  cancelled: "subtle",
};

/** The plan's status as a badge. */
export function StatusBadge({ plan }: { readonly plan: Snapshot }) {
  const styles = useStyles();
  return (
    <Badge
      className={styles.badge}
      appearance="tint"
      size="large"
      color={isStalled(plan) ? "warning" : COLOURS[plan.status]}
    >
      {statusText(plan)}
    </Badge>
  );
}

export function statusText(plan: Snapshot): string {
  if (isStalled(plan)) return "Stalled";
  if (plan.status === "waiting" && plan.inputs.some(({ answered_at }) => answered_at === undefined))
    return "Waiting for you";
  if (isPaused(plan)) return "Paused";
  const signal = plan.ended_at === undefined ? acknowledgedSignal(plan) : null;
  return signal === "cancel" ? "Stopping…" : planStatusLabel(plan.status);
}
