/** The plans on the wall: in the address while it is shown, and in this tab's storage in between. */
import { isPlanId, MAX_WALL_PLANS } from "../routes.js";

const KEY = "plancast.wall";

export function rememberWall(plans: readonly string[]): void {
  try {
    sessionStorage.setItem(KEY, JSON.stringify(plans));
  } catch {
    // storage is blocked: the address still has them
  }
}

export function rememberedWall(): readonly string[] {
  try {
    const kept: unknown = JSON.parse(sessionStorage.getItem(KEY) ?? "[]");
    return Array.isArray(kept) ? kept.filter((one): one is string => typeof one === "string" && isPlanId(one)) : [];
  } catch {
    return [];
  }
}

/** The plans on the wall after adding or removing this one. */
export function toggledOnWall(planId: string, plans = rememberedWall()): readonly string[] {
  return plans.includes(planId) ? plans.filter((one) => one !== planId) : [...plans, planId].slice(-MAX_WALL_PLANS);
}
