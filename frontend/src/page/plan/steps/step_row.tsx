import { makeStyles, mergeClasses, ProgressBar, tokens } from "@fluentui/react-components";
import { memo } from "react";
import type { AttemptState, StepState } from "../../../client/index.js";
import { AgentName } from "../agents/agent_name.js";
import { errorIn } from "../results/step_result.js";
import { between, duration } from "../status/durations.js";
import { useNow } from "../../shell/now.js";
import { stepStatusLabel } from "../status/labels.js";

const useStyles = makeStyles({
  step: { minWidth: 0, flexGrow: 1, padding: `${tokens.spacingVerticalS} 0 ${tokens.spacingVerticalM}` },
  first: { display: "flex", alignItems: "baseline", gap: tokens.spacingHorizontalS },
  title: {
    margin: 0,
    fontSize: tokens.fontSizeBase300,
    lineHeight: "24px",
    fontWeight: tokens.fontWeightSemibold,
    overflowWrap: "anywhere",
    flexGrow: 1,
  },
  still: { fontWeight: tokens.fontWeightRegular, color: tokens.colorNeutralForeground2 },
  meta: {
    display: "flex",
    flexWrap: "wrap",
    columnGap: tokens.spacingHorizontalS,
    color: tokens.colorNeutralForeground3,
    fontSize: tokens.fontSizeBase200,
    lineHeight: tokens.lineHeightBase300,
  },
  took: {
    color: tokens.colorNeutralForeground3,
    fontSize: tokens.fontSizeBase200,
    fontVariantNumeric: "tabular-nums",
    whiteSpace: "nowrap",
  },
  content: {
    margin: `2px 0 0`,
    color: tokens.colorNeutralForeground2,
    fontSize: tokens.fontSizeBase200,
    lineHeight: tokens.lineHeightBase300,
    overflowWrap: "anywhere",
  },
  bad: { color: tokens.colorStatusDangerForeground1 },
  warning: { color: tokens.colorStatusWarningForeground1 },
  bar: { marginTop: tokens.spacingVerticalXS },
  fold: {
    marginTop: tokens.spacingVerticalXS,
    fontSize: tokens.fontSizeBase200,
    color: tokens.colorNeutralForeground2,
  },
  trace: {
    margin: `${tokens.spacingVerticalXS} 0 0`,
    padding: tokens.spacingHorizontalS,
    maxHeight: "220px",
    overflow: "auto",
    whiteSpace: "pre-wrap",
    overflowWrap: "anywhere",
    borderRadius: tokens.borderRadiusMedium,
    backgroundColor: tokens.colorNeutralBackground3,
    fontFamily: tokens.fontFamilyMonospace,
    fontSize: tokens.fontSizeBase100,
  },
  attempts: { margin: 0, padding: `${tokens.spacingVerticalXS} 0 0 ${tokens.spacingHorizontalL}` },
});

export const StepRow = memo(function StepRow({ step, past }: { readonly step: StepState; readonly past: boolean }) {
  const styles = useStyles();
  const still = step.status === "pending" || step.status === "skipped" || step.status === "cancelled";
  const showProgress =
    step.progress !== undefined && step.progress > 0 && (step.status === "in_progress" || step.status === "waiting");
  return (
    <div className={styles.step}>
      <div className={styles.first}>
        <h3 className={mergeClasses(styles.title, still && styles.still)}>{step.title ?? step.step_id}</h3>
        <Took step={step} past={past} />
      </div>
      <Meta step={step} />
      {step.content && <p className={mergeClasses(styles.content, toneOf(step, styles))}>{step.content}</p>}
      {showProgress && (
        <ProgressBar
          className={styles.bar}
          value={(step.progress ?? 0) / 100}
          aria-label={`Progress of ${step.title ?? step.step_id}`}
        />
      )}
      <Attempts attempts={step.attempts} />
      <Trouble step={step} />
    </div>
  );
});

function toneOf({ status }: StepState, styles: ReturnType<typeof useStyles>): string | false {
  if (status === "error") return styles.bad;
  return (status === "stalled" || status === "retrying") && styles.warning;
}

function Meta({ step }: { readonly step: StepState }) {
  const styles = useStyles();
  const several = step.attempt > 1 || step.status === "retrying";
  const of = step.max_attempts === undefined ? "" : ` of ${step.max_attempts}`;
  return (
    <div className={styles.meta}>
      <span className={mergeClasses(toneOf(step, styles))}>{stepStatusLabel(step.status)}</span>
      {several && (
        <span>
          Attempt {step.attempt}
          {of}
        </span>
      )}
      {step.agent_name && <AgentName name={step.agent_name} small />}
    </div>
  );
}

function Took({ step, past }: { readonly step: StepState; readonly past: boolean }) {
  const styles = useStyles();
  const running = step.started_at !== undefined && step.ended_at === undefined && !past;
  const now = useNow(1_000, running);
  const ms = step.duration_ms ?? (running ? between(step.started_at, now) : undefined);
  return ms === undefined ? null : <span className={styles.took}>{duration(ms)}</span>;
}

function Attempts({ attempts }: { readonly attempts: readonly AttemptState[] }) {
  const styles = useStyles();
  if (attempts.length === 0) return null;
  return (
    <details className={styles.fold}>
      <summary>{attempts.length === 1 ? "1 earlier attempt" : `${attempts.length} earlier attempts`}</summary>
      <ol className={styles.attempts}>
        {attempts.map((one) => (
          <li key={one.attempt} value={one.attempt}>
            {stepStatusLabel(one.status)}
            {one.duration_ms !== undefined && ` after ${duration(one.duration_ms)}`}
            {one.content && `: ${one.content}`}
          </li>
        ))}
      </ol>
    </details>
  );
}

/** The error's traceback, for engineers. */
function Trouble({ step }: { readonly step: StepState }) {
  const styles = useStyles();
  const error = errorIn(step.data);
  if (!error?.traceback) return null;
  return (
    <details className={styles.fold}>
      <summary>{error.type}</summary>
      <pre className={styles.trace} tabIndex={0} aria-label="Details of the error">
        {error.traceback}
      </pre>
    </details>
  );
}
