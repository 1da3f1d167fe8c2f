/** Conversion between addresses and routes. Pure. */

export type Route =
  | { readonly view: "welcome" }
  /** `at`: the position in the plan's history that a shared link points to. */
  | { readonly view: "plan"; readonly planId: string; readonly at?: string }
  | { readonly view: "wall"; readonly plans: readonly string[] }
  | { readonly view: "not_found"; readonly path: string };

/** The hub's limit of plans on one connection. */
export const MAX_WALL_PLANS = 60;

const PLAN_ID = /^[A-Za-z0-9._:@~-]{1,128}$/;
/** Characters that need no encoding, although encodeURIComponent encodes them. */
const PLAIN = /%(3A|40)/g;

export function isPlanId(text: string): boolean {
  return PLAN_ID.test(text);
}

export function routeOf(path: string, search: string): Route {
  const query = new URLSearchParams(search);
  if (path === "/") return { view: "welcome" };
  if (path === "/wall") return { view: "wall", plans: wallPlans(query.getAll("plan")) };
  const planId = planIdOf(path);
  if (planId === undefined) return { view: "not_found", path };
  const at = query.get("at");
  return at === null ? { view: "plan", planId } : { view: "plan", planId, at };
}

export function hrefOf(route: Route): string {
  switch (route.view) {
    case "welcome":
      return "/";
    case "plan":
      return `/plan/${plain(route.planId)}${route.at === undefined ? "" : `?at=${encodeURIComponent(route.at)}`}`;
    case "wall":
      return `/wall${route.plans.map((plan, at) => `${at ? "&" : "?"}plan=${plain(plan)}`).join("")}`;
    case "not_found":
      return route.path;
  }
}

export function planHref(planId: string): string {
  return hrefOf({ view: "plan", planId });
}

/** Without duplicates, up to the limit. */
function wallPlans(asked: readonly string[]): readonly string[] {
  return [...new Set(asked.filter(isPlanId))].slice(0, MAX_WALL_PLANS);
}

function planIdOf(path: string): string | undefined {
  const [, encoded] = /^\/plan\/([^/]+)\/?$/.exec(path) ?? [];
  if (encoded === undefined) return undefined;
  try {
    const planId = decodeURIComponent(encoded);
    return isPlanId(planId) ? planId : undefined;
  } catch {
    return undefined; // a stray %
  }
}

function plain(planId: string): string {
  return encodeURIComponent(planId).replace(PLAIN, decodeURIComponent);
}
