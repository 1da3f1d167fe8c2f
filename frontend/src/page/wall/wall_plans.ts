/** Which plans hang on the wall: the address says so while it is shown; this tab remembers them in between. */
import { isPlanId, WALL_MOST } from "../routes.js";

const KEY = "plancast.wall";

export function rememberWall(plans: readonly string[]): void {
  try {
    sessionStorage.setItem(KEY, JSON.stringify(plans));
  } catch {
    // a browser that keeps nothing: the address does
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

/** The wall with this plan put on it, or taken off. */
export function toggledOnWall(planId: string, plans = rememberedWall()): readonly string[] {
  return plans.includes(planId) ? plans.filter((one) => one !== planId) : [...plans, planId].slice(-WALL_MOST);
}
