import { Badge, type BadgeProps } from "@fluentui/react-components";
import type { Snapshot } from "../../../client/index.js";
import { obeyedSignal, PLAN_WORDS } from "./words.js";

const COLOURS: Readonly<Record<Snapshot["status"], BadgeProps["color"]>> = {
  pending: "subtle",
  in_progress: "brand",
  waiting: "warning",
  completed: "success",
  error: "danger",
  cancelled: "subtle",
};

/** How the plan is, in a word. */
export function StatusBadge({ plan }: { readonly plan: Snapshot }) {
  return (
    <Badge appearance="tint" size="large" color={COLOURS[plan.status]}>
      {statusText(plan)}
    </Badge>
  );
}

export function statusText(plan: Snapshot): string {
  if (plan.status === "waiting" && plan.inputs.some(({ answered_at }) => answered_at === undefined))
    return "Waiting for you";
  const signal = plan.ended_at === undefined ? obeyedSignal(plan) : null;
  if (signal === "pause" && plan.status === "waiting") return "Paused";
  return signal === "cancel" ? "Stopping…" : PLAN_WORDS[plan.status];
}
