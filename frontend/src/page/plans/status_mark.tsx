import { makeStyles, mergeClasses, tokens } from "@fluentui/react-components";
import {
  CheckmarkCircleFilled,
  CircleRegular,
  DismissCircleFilled,
  ErrorCircleFilled,
  PersonClockFilled,
} from "@fluentui/react-icons";
import type { ReactNode } from "react";
import type { PlanStatus } from "../../client/index.js";

const pulse = {
  "0%": { boxShadow: `0 0 0 0 ${tokens.colorBrandStroke2}` },
  "70%": { boxShadow: "0 0 0 6px transparent" },
  "100%": { boxShadow: "0 0 0 0 transparent" },
};

const useStyles = makeStyles({
  root: {
    display: "inline-grid",
    placeItems: "center",
    width: "16px",
    height: "16px",
    fontSize: "16px",
    flexShrink: 0,
  },
  quiet: { color: tokens.colorNeutralForeground3 },
  good: { color: tokens.colorPaletteGreenForeground1 },
  bad: { color: tokens.colorPaletteRedForeground1 },
  asks: { color: tokens.colorPaletteMarigoldForeground1 },
  working: {
    width: "8px",
    height: "8px",
    borderRadius: tokens.borderRadiusCircular,
    backgroundColor: tokens.colorBrandForeground1,
    animationName: pulse,
    animationDuration: "2s",
    animationIterationCount: "infinite",
    "@media (prefers-reduced-motion: reduce)": { animationName: "none" },
  },
});

/** A plan's status as a small sign; the words are to be beside it. */
export function StatusMark({ status }: { readonly status: PlanStatus }) {
  const styles = useStyles();
  const signs: Readonly<Record<PlanStatus, readonly [string, ReactNode]>> = {
    pending: [styles.quiet, <CircleRegular key="" />],
    in_progress: [styles.quiet, <span key="" className={styles.working} />],
    waiting: [styles.asks, <PersonClockFilled key="" />],
    completed: [styles.good, <CheckmarkCircleFilled key="" />],
    error: [styles.bad, <ErrorCircleFilled key="" />],
    cancelled: [styles.quiet, <DismissCircleFilled key="" />],
  };
  const [tone, sign] = signs[status];
  return (
    <span className={mergeClasses(styles.root, tone)} aria-hidden="true">
      {sign}
    </span>
  );
}
