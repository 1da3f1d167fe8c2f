/** The search text and filters of the list of plans. Pure. */
import type { PlanQuery, PlanStatus, PlanSummary } from "../../client/index.js";

export interface PlanFilter {
  /** Matched against title, id, owner and labels of the loaded plans. */
  readonly text: string;
  readonly status: PlanStatus | "";
  /** These two are filtered by the hub. */
  readonly owner: string;
  readonly label: string;
}

export const NO_FILTER: PlanFilter = { text: "", status: "", owner: "", label: "" };

export function queryOf({ status, owner, label }: PlanFilter): PlanQuery {
  return {
    ...(status && { status }),
    ...(owner.trim() && { owner: owner.trim() }),
    ...(label.trim() && { label: label.trim() }),
  };
}

/** The number of filters set, without the text. */
export function filterCount({ status, owner, label }: PlanFilter): number {
  return [status, owner.trim(), label.trim()].filter((one) => one !== "").length;
}

export function matching(plans: readonly PlanSummary[], text: string): readonly PlanSummary[] {
  const terms = text.toLowerCase().split(/\s+/).filter(Boolean);
  if (terms.length === 0) return plans;
  return plans.filter(({ plan_id, title, owner, labels }) => {
    const searched = [plan_id, title, owner, ...labels].join(" ").toLowerCase();
    return terms.every((term) => searched.includes(term));
  });
}
