import { describe, expect, test } from "vitest";
import { hrefOf, isPlanId, routeOf, type Route, MAX_WALL_PLANS } from "../../src/page/routes.js";

test.each<[string, string, Route]>([
  ["/", "", { view: "welcome" }],
  ["/plan/plan-1", "", { view: "plan", planId: "plan-1" }],
  ["/plan/a%3Ab~c@d", "", { view: "plan", planId: "a:b~c@d" }],
  ["/plan/plan-1", "?at=e1.12", { view: "plan", planId: "plan-1", at: "e1.12" }],
  ["/wall", "", { view: "wall", plans: [] }],
  ["/wall", "?plan=a&plan=b&plan=a&plan=%20", { view: "wall", plans: ["a", "b"] }],
  ["/plan/", "", { view: "not_found", path: "/plan/" }],
  ["/plan/%20", "", { view: "not_found", path: "/plan/%20" }],
  ["/plan/%", "", { view: "not_found", path: "/plan/%" }],
  ["/plan/a/b", "", { view: "not_found", path: "/plan/a/b" }],
  ["/elsewhere", "", { view: "not_found", path: "/elsewhere" }],
])("%s%s", (path, search, route) => {
  expect(routeOf(path, search)).toEqual(route);
});

describe("addresses convert back to their routes", () => {
  test.each<Route>([
    { view: "welcome" },
    { view: "plan", planId: "a.b_c:d@e~f-g" },
    { view: "plan", planId: "plan-1", at: "e:1.12" },
    { view: "wall", plans: [] },
    { view: "wall", plans: ["a", "b:c"] },
  ])("%o", (route) => {
    const url = new URL(hrefOf(route), "http://hub");
    expect(routeOf(url.pathname, url.search)).toEqual(route);
  });
});

test("a wall has a limit of plans", () => {
  const plans = Array.from({ length: MAX_WALL_PLANS + 5 }, (_, at) => `plan=p${at}`);
  expect(routeOf("/wall", `?${plans.join("&")}`)).toMatchObject({ plans: { length: MAX_WALL_PLANS } });
});

test.each([
  ["plan-1", true],
  ["", false],
  ["a b", false],
  ["x".repeat(129), false],
])("%j as a plan's id: %s", (text, fit) => {
  expect(isPlanId(text)).toBe(fit);
});
