/** The filters of the list, the data of cards, and relative times. */
import { describe, expect, test } from "vitest";
import { emptySnapshot, type PlanSummary, type PlanView } from "../../src/client/index.js";
import { NO_FILTER, filterCount, matching, queryOf } from "../../src/page/plans/plan_filter.js";
import { ago } from "../../src/page/shell/now.js";
import { cardView, excerpt, sameCard } from "../../src/page/wall/card_view.js";
import { toggledOnWall } from "../../src/page/wall/wall_plans.js";

const plan = (plan_id: string, more: Partial<PlanSummary> = {}): PlanSummary => ({
  plan_id,
  status: "in_progress",
  title: null,
  progress: null,
  owner: null,
  labels: [],
  created_at: "2026-01-01T00:00:00Z",
  updated_at: "2026-01-01T00:00:00Z",
  epoch: "e",
  offset: 1,
  ...more,
});

describe("searching", () => {
  const plans = [plan("north-1", { title: "Shops of the North" }), plan("p-2", { owner: "maria", labels: ["retail"] })];

  test.each([
    ["", ["north-1", "p-2"]],
    ["shops north", ["north-1"]],
    ["MARIA", ["p-2"]],
    ["retail p-2", ["p-2"]],
    ["north maria", []],
  ])("%j", (text, found) => {
    expect(matching(plans, text).map(({ plan_id }) => plan_id)).toEqual(found);
  });

  test("only filters that are set are sent to the hub", () => {
    expect(queryOf(NO_FILTER)).toEqual({});
    const filter = { ...NO_FILTER, status: "error", owner: " maria ", label: " " } as const;
    expect(queryOf(filter)).toEqual({ status: "error", owner: "maria" });
    expect(filterCount(filter)).toBe(2);
  });
});

test.each([
  [5, "just now"],
  [61, "1 min ago"],
  [7_300, "2 h ago"],
  [200_000, "2 d ago"],
  [-30, "just now"],
])("%s seconds: %s", (seconds, text) => {
  const now = Date.parse("2026-01-01T00:00:00Z");
  expect(ago(new Date(now - seconds * 1_000).toISOString(), now)).toBe(text);
});

describe("cards", () => {
  const view = (snapshot: PlanView["snapshot"]): PlanView => ({
    planId: "p",
    snapshot,
    status: snapshot?.status ?? null,
    place: null,
    phase: "live",
    live: true,
    error: null,
  });

  test("a plan that is not known yet, and one without events", () => {
    expect(cardView(view(null))).toMatchObject({ status: null, title: null, text: "" });
    expect(cardView(view(emptySnapshot("p")))).toMatchObject({ status: null });
  });

  test("equal plans have equal cards", () => {
    const snapshot = { ...emptySnapshot("p"), offset: 3, title: "Shops" };
    expect(sameCard(cardView(view(snapshot)), cardView(view({ ...snapshot })))).toBe(true);
    expect(sameCard(cardView(view(snapshot)), cardView(view({ ...snapshot, title: "Shop" })))).toBe(false);
  });

  test("excerpts have no Markdown syntax, and show the end of a streaming message", () => {
    expect(excerpt("## A *bold* [link](http://x)\n- one", false)).toBe("A bold link one");
    expect(excerpt("a ".repeat(400), false)).toMatch(/^a a .*…$/);
    expect(excerpt(`${"a ".repeat(400)}the end`, true)).toMatch(/^….*the end$/);
  });
});

test("a plan is added to the wall, and removed", () => {
  expect(toggledOnWall("c", ["a", "b"])).toEqual(["a", "b", "c"]);
  expect(toggledOnWall("a", ["a", "b"])).toEqual(["b"]);
});
