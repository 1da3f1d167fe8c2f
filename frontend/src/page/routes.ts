/** The addresses of the page, both ways. Pure. */

export type Route =
  | { readonly view: "welcome" }
  /** `at`: the moment of the past that a shared link leads to. */
  | { readonly view: "plan"; readonly planId: string; readonly at?: string }
  | { readonly view: "wall"; readonly plans: readonly string[] }
  | { readonly view: "not_found"; readonly path: string };

/** A connection watches no more (the hub's limit), and nobody looks at more. */
export const WALL_MOST = 60;

const PLAN_ID = /^[A-Za-z0-9._:@~-]{1,128}$/;
/** What an address may hold as it is, besides what encodeURIComponent leaves. */
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

/** Each once, and not more than can be watched. */
function wallPlans(asked: readonly string[]): readonly string[] {
  return [...new Set(asked.filter(isPlanId))].slice(0, WALL_MOST);
}

function planIdOf(path: string): string | undefined {
  const [, said] = /^\/plan\/([^/]+)\/?$/.exec(path) ?? [];
  if (said === undefined) return undefined;
  try {
    const planId = decodeURIComponent(said);
    return isPlanId(planId) ? planId : undefined;
  } catch {
    return undefined; // a stray %
  }
}

function plain(planId: string): string {
  return encodeURIComponent(planId).replace(PLAIN, decodeURIComponent);
}
