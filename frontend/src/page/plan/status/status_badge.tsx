import { Badge, type BadgeProps, makeStyles, tokens } from "@fluentui/react-components";
import type { Snapshot } from "../../../client/index.js";
import { isPaused, obeyedSignal, planWords } from "./words.js";

const COLOURS: Readonly<Record<Snapshot["status"], BadgeProps["color"]>> = {
  pending: "subtle",
  in_progress: "brand",
  waiting: "warning",
  completed: "success",
  error: "danger",
  cancelled: "subtle",
};

const useStyles = makeStyles({ badge: { padding: `0 ${tokens.spacingHorizontalMNudge}`, whiteSpace: "nowrap" } });

/** How the plan is, in a word. */
export function StatusBadge({ plan }: { readonly plan: Snapshot }) {
  const styles = useStyles();
  return (
    <Badge className={styles.badge} appearance="tint" size="large" color={COLOURS[plan.status]}>
      {statusText(plan)}
    </Badge>
  );
}

export function statusText(plan: Snapshot): string {
  if (plan.status === "waiting" && plan.inputs.some(({ answered_at }) => answered_at === undefined))
    return "Waiting for you";
  if (isPaused(plan)) return "Paused";
  const signal = plan.ended_at === undefined ? obeyedSignal(plan) : null;
  return signal === "cancel" ? "Stopping…" : planWords(plan.status);
}
