import { makeStyles, mergeClasses, tokens } from "@fluentui/react-components";
import {
  ArrowClockwise16Filled,
  CheckmarkCircle20Filled,
  CircleHint20Regular,
  DismissCircle20Filled,
  Prohibited20Regular,
  QuestionCircle20Filled,
  Circle20Regular,
  Warning20Filled,
} from "@fluentui/react-icons";
import type { ReactNode } from "react";
import type { StepStatus } from "../../../client/index.js";

const useStyles = makeStyles({
  mark: {
    display: "flex",
    width: "22px",
    height: "22px",
    alignItems: "center",
    justifyContent: "center",
    borderRadius: tokens.borderRadiusCircular,
    backgroundColor: tokens.colorNeutralBackground1,
    color: tokens.colorNeutralForeground4,
  },
  good: { color: tokens.colorStatusSuccessForeground3 },
  bad: { color: tokens.colorStatusDangerForeground3 },
  warning: { color: tokens.colorStatusWarningForeground3 },
  busy: { color: tokens.colorBrandForeground1 },
  ring: {
    width: "12px",
    height: "12px",
    borderRadius: tokens.borderRadiusCircular,
    backgroundColor: "currentColor",
    animationName: {
      "0%, 100%": { boxShadow: `0 0 0 0 ${tokens.colorBrandBackground2}` },
      "50%": { boxShadow: `0 0 0 5px ${tokens.colorBrandBackground2}` },
    },
    animationDuration: "2s",
    animationIterationCount: "infinite",
    "@media (prefers-reduced-motion: reduce)": { animationName: "none" },
  },
});

type Look = "mark" | "good" | "bad" | "warning" | "busy";

/** A step's status as a sign. Beside it, it is said in words. */
export function StepMark({ status }: { readonly status: StepStatus }) {
  const styles = useStyles();
  const [sign, look] = signOf(status, <span className={styles.ring} />);
  return <span className={mergeClasses(styles.mark, styles[look])}>{sign}</span>;
}

function signOf(status: StepStatus, ring: ReactNode): readonly [ReactNode, Look] {
  switch (status) {
    case "completed":
      return [<CheckmarkCircle20Filled key="done" />, "good"];
    case "error":
      return [<DismissCircle20Filled key="error" />, "bad"];
    case "stalled":
      return [<Warning20Filled key="stalled" />, "warning"];
    case "retrying":
      return [<ArrowClockwise16Filled key="again" />, "warning"];
    case "waiting":
      return [<QuestionCircle20Filled key="waiting" />, "warning"];
    case "in_progress":
      return [ring, "busy"];
    case "skipped":
      return [<CircleHint20Regular key="skipped" />, "mark"];
    case "cancelled":
      return [<Prohibited20Regular key="cancelled" />, "mark"];
    default:
      return [<Circle20Regular key="pending" />, "mark"];
  }
}
