/** What is sought in the list of plans. Pure. */
import type { PlanQuery, PlanStatus, PlanSummary } from "../../client/index.js";

export interface Sought {
  /** In the title, the id, the owner and the labels, of what is loaded. */
  readonly text: string;
  readonly status: PlanStatus | "";
  /** These two are asked of the hub. */
  readonly owner: string;
  readonly label: string;
}

export const EVERYTHING: Sought = { text: "", status: "", owner: "", label: "" };

export function queryOf({ status, owner, label }: Sought): PlanQuery {
  return {
    ...(status && { status }),
    ...(owner.trim() && { owner: owner.trim() }),
    ...(label.trim() && { label: label.trim() }),
  };
}

/** How many filters besides the text are set. */
export function filterCount({ status, owner, label }: Sought): number {
  return [status, owner.trim(), label.trim()].filter((one) => one !== "").length;
}

export function matching(plans: readonly PlanSummary[], text: string): readonly PlanSummary[] {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  if (words.length === 0) return plans;
  return plans.filter(({ plan_id, title, owner, labels }) => {
    const said = [plan_id, title, owner, ...labels].join(" ").toLowerCase();
    return words.every((word) => said.includes(word));
  });
}
