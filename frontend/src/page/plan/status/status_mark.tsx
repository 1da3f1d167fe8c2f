import { makeStyles, mergeClasses, tokens } from "@fluentui/react-components";
import {
  ArrowClockwiseFilled,
  CheckmarkCircleFilled,
  CircleHintRegular,
  CircleRegular,
  DismissCircleFilled,
  ProhibitedRegular,
  QuestionCircleFilled,
  WarningFilled,
} from "@fluentui/react-icons";
import type { ReactNode } from "react";
import type { StepStatus } from "../../../client/index.js";

const useStyles = makeStyles({
  mark: { display: "inline-grid", placeItems: "center", flexShrink: 0, width: "1em", height: "1em" },
  quiet: { color: tokens.colorNeutralForeground3 },
  good: { color: tokens.colorStatusSuccessForeground3 },
  bad: { color: tokens.colorStatusDangerForeground3 },
  warning: { color: tokens.colorStatusWarningForeground3 },
  busy: { color: tokens.colorBrandForeground1 },
  dot: {
    width: "0.55em",
    height: "0.55em",
    borderRadius: tokens.borderRadiusCircular,
    backgroundColor: "currentColor",
    animationName: {
      "0%, 100%": { boxShadow: `0 0 0 0 ${tokens.colorBrandBackground2}` },
      "50%": { boxShadow: `0 0 0 0.25em ${tokens.colorBrandBackground2}` },
    },
    animationDuration: "2s",
    animationIterationCount: "infinite",
    "@media (prefers-reduced-motion: reduce)": { animationName: "none" },
  },
});

type Look = "quiet" | "good" | "bad" | "warning" | "busy";

/** Icon for the status of a plan or a step. Decorative: show a label beside it. */
export function StatusMark({ status, size = 16 }: { readonly status: StepStatus; readonly size?: number }) {
  const styles = useStyles();
  const [sign, look] = signOf(status, <span className={styles.dot} />);
  return (
    <span className={mergeClasses(styles.mark, styles[look])} style={{ fontSize: `${size}px` }} aria-hidden>
      {sign}
    </span>
  );
}

function signOf(status: StepStatus, dot: ReactNode): readonly [ReactNode, Look] {
  switch (status) {
    case "completed":
      return [<CheckmarkCircleFilled key="completed" />, "good"];
    case "error":
      return [<DismissCircleFilled key="error" />, "bad"];
    case "stalled":
      return [<WarningFilled key="stalled" />, "warning"];
    case "retrying":
      return [<ArrowClockwiseFilled key="retrying" />, "warning"];
    case "waiting":
      return [<QuestionCircleFilled key="waiting" />, "warning"];
    case "in_progress":
      return [dot, "busy"];
    case "skipped":
      return [<CircleHintRegular key="skipped" />, "quiet"];
    case "cancelled":
      return [<ProhibitedRegular key="cancelled" />, "quiet"];
    default:
      return [<CircleRegular key="pending" />, "quiet"];
  }
}
