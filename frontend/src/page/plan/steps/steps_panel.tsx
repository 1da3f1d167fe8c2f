import { makeStyles, tokens } from "@fluentui/react-components";
import { memo, useMemo } from "react";
import type { StepState } from "../../../client/index.js";
import { timeline } from "./lanes.js";
import { StepGraph } from "./step_graph.js";
import { StepRow } from "./step_row.js";

const useStyles = makeStyles({
  panel: {
    minHeight: 0,
    overflowY: "auto",
    padding: `${tokens.spacingVerticalS} ${tokens.spacingHorizontalL} ${tokens.spacingVerticalL}`,
    overscrollBehavior: "contain",
  },
  heading: {
    margin: `${tokens.spacingVerticalS} 0`,
    fontSize: tokens.fontSizeBase300,
    lineHeight: tokens.lineHeightBase300,
    fontWeight: tokens.fontWeightSemibold,
    color: tokens.colorNeutralForeground2,
    display: "flex",
    justifyContent: "space-between",
  },
  count: {
    fontWeight: tokens.fontWeightRegular,
    color: tokens.colorNeutralForeground3,
    fontVariantNumeric: "tabular-nums",
  },
  list: { listStyle: "none", margin: 0, padding: 0 },
  row: {
    display: "flex",
    gap: tokens.spacingHorizontalS,
    contentVisibility: "auto",
    containIntrinsicSize: "auto 72px",
  },
  none: { color: tokens.colorNeutralForeground3, margin: 0 },
});

/** The steps of the plan, with their dependency graph. */
export const StepsPanel = memo(function StepsPanel({
  steps,
  past,
}: {
  readonly steps: readonly StepState[];
  readonly past: boolean;
}) {
  const styles = useStyles();
  const { rows, lanes } = useMemo(() => timeline(steps), [steps]);
  const over = steps.filter(({ status }) => status === "completed" || status === "skipped").length;
  return (
    <section className={styles.panel} aria-label="Steps" tabIndex={0}>
      <h2 className={styles.heading}>
        Steps
        {steps.length > 0 && <span className={styles.count}>{`${over} of ${steps.length}`}</span>}
      </h2>
      {steps.length === 0 && <p className={styles.none}>No steps yet.</p>}
      <ol className={styles.list}>
        {rows.map((row) => (
          <li key={row.step.step_id} className={styles.row}>
            <StepGraph row={row} lanes={lanes} />
            <StepRow step={row.step} past={past} />
          </li>
        ))}
      </ol>
    </section>
  );
});
