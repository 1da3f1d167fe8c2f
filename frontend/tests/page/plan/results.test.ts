import fc from "fast-check";
import { expect, test } from "vitest";
import { chartOf, labelEvery, linePath, scale, ticks } from "../../../src/page/plan/results/charting.js";
import { csvCell, csvRows } from "../../../src/page/plan/results/csv_table.js";
import { optionsIn } from "../../../src/page/plan/results/itinerary.js";
import { poiMap, poisIn } from "../../../src/page/plan/results/pois.js";
import { label } from "../../../src/page/plan/results/fields.js";
import { sectionsBeside, sectionsOf } from "../../../src/page/plan/results/sections.js";
import { resultsOf } from "../../../src/page/plan/results/results_panel.js";
import { errorIn, hasResult, resultIn } from "../../../src/page/plan/results/step_result.js";
import { columnText, type Table, tableOf } from "../../../src/page/plan/results/tabular.js";
import { plan, step } from "./plans.js";

const kinds = (data: Record<string, unknown>) => sectionsOf(data).map(({ kind }) => kind);

test("data is recognised by its shape", () => {
  expect(kinds({ exhibition_title: "Dreams", subtitle: "s" })).toEqual(["theme"]);
  expect(kinds({ artists: [{ name: "Dalí", score: 0.9 }] })).toEqual(["artists"]);
  expect(kinds({ artworks: [{ title: "Time", iiif_manifest: "https://x.org" }] })).toEqual(["artworks"]);
  expect(kinds({ answer: "42", sql: "select 1", columns: ["n"], rows: [[1]] })).toEqual(["text", "table", "code"]);
  expect(kinds({ pois: [{ name: "Rome" }], requirements: ["quiet"] })).toEqual(["pois", "requirements"]);
  expect(kinds({ plan: [{ days: [{ day: 1, items: ["Forum"] }] }] })).toEqual(["itinerary"]);
  expect(kinds({ theme: { exhibition_title: "Dreams" }, who: "me" })).toEqual(["theme", "rest"]);
  expect(kinds({ best: [{ customer: "Ann", total: 3 }] })).toEqual(["table"]);
  expect(kinds({ odd: { deep: [1, 2] } })).toEqual(["rest"]);
  expect(sectionsOf({ proposal: "# One\n\nTwo", sql: "a\n\nb", note: "x" })).toMatchObject([
    { kind: "text", title: "Proposal" },
    { kind: "code" },
    { kind: "rest", value: { note: "x" } },
  ]);
});

test("unrecognised fields of several parts are grouped under their names", () => {
  const parts = { intent: { kind: "x" }, insight: { text: "Warm." }, summary: { text: "One city.", months: 12 } };
  expect(sectionsOf(parts)).toEqual([
    { kind: "text", text: "Warm." },
    { kind: "text", text: "One city." },
    { kind: "rest", value: { summary: { months: 12 }, intent: { kind: "x" } } },
  ]);
});

test("a text that a message contains is not shown again beside it", () => {
  const data = { type: "insight", payload: { text: "Warm.", rows: [{ city: "Lisbon", value: 17 }] } };
  expect(sectionsBeside("Warm.\n", data).map(({ kind }) => kind)).toEqual(["table", "rest"]);
  expect(sectionsBeside("Wet.", data).map(({ kind }) => kind)).toEqual(["text", "table", "rest"]);
});

test("a step's result that equals the plan's is not shown again", () => {
  const steps = [step("a", { data: { answer: "41" } }), step("b", { data: { answer: "42", restarts: 1 } })];
  expect(resultsOf(plan({ steps })).map(({ key }) => key)).toEqual(["step b", "step a"]);
  expect(resultsOf(plan({ steps, result: { answer: "42" } })).map(({ key }) => key)).toEqual(["plan", "step a"]);
});

test("no data breaks it, and any data shows something", () => {
  const names = fc.constantFrom("rows", "columns", "artists", "plan", "pois", "result", "theme", "days", "sql", "x");
  fc.assert(
    fc.property(fc.dictionary(names, fc.jsonValue()), (data) => {
      const something = Object.values(data).some((value) => value !== null);
      expect(sectionsOf(data as Record<string, unknown>).length > 0).toBe(something);
    }),
  );
});

test("the engine's internal fields are not a result", () => {
  expect(hasResult(step("a", { data: { restarts: 2, error: { type: "X" } } }))).toBe(false);
  const data = { answer: "42", restarts: 1 };
  expect(resultIn(data)).toEqual({ answer: "42" });
  expect(resultIn(data)).toBe(resultIn(data));
  expect(errorIn({ error: { type: "E", message: "m", traceback: "t" } })).toEqual({ type: "E", traceback: "t" });
  expect(errorIn({ error: "E" })).toBeNull();
});

test("tables: rows as lists or as objects, up to a limit", () => {
  expect(tableOf([{ a: 1, b: "x" }, { a: 2 }])).toMatchObject({
    columns: ["a", "b"],
    numeric: [true, false],
    rows: [
      [1, "x"],
      [2, null],
    ],
  });
  expect(tableOf([[1, 2]], ["a", { name: "b" }])?.columns).toEqual(["a", "b"]);
  expect(tableOf(Array.from({ length: 500 }, (_, n) => ({ n })))).toMatchObject({ total: 500 });
  expect(tableOf([1, 2])).toBeNull();
  expect(tableOf("rows")).toBeNull();
  expect(columnText("revenue", 1234567.891)).toBe("1,234,567.89");
  expect(columnText("year", 2025)).toBe("2025");
  expect(label("totalAmount_sql")).toBe("Total amount SQL");
});

const table = (rows: readonly (readonly [string, number])[]) => tableOf(rows, ["name", "sum"]) as Table;

test("a line chart over time, a bar chart over names", () => {
  expect(
    chartOf(
      table([
        ["2025-01", 1],
        ["2025-02", 2],
        ["2025-03", 3],
      ]),
    )?.kind,
  ).toBe("line");
  expect(
    chartOf(
      table([
        ["North", 1],
        ["South", 2],
      ]),
    ),
  ).toMatchObject({ kind: "bars", series: [{ name: "sum", values: [1, 2] }] });
  expect(chartOf(table([["North", 1]]))).toBeNull();
  expect(
    chartOf(
      table([
        ["North", 1],
        ["North", 2],
      ]),
    ),
  ).toBeNull();
});

test("the scale has round numbers and includes all values", () => {
  expect(ticks([{ name: "a", values: [0, 87] }])).toEqual([0, 50, 100]);
  expect(ticks([{ name: "a", values: [-3, 5, null] }])).toEqual([-4, -2, 0, 2, 4, 6]);
  expect(ticks([{ name: "a", values: [0] }])).toEqual([0, 1]);
  expect(ticks([{ name: "a", values: [-5e-324] }])).toEqual([-1, 1]);
  fc.assert(
    fc.property(fc.array(fc.double({ noNaN: true, min: -1e9, max: 1e9 }), { minLength: 1 }), (values) => {
      const marks = ticks([{ name: "a", values }]);
      const [low, high] = [Math.min(0, ...values), Math.max(0, ...values)];
      const unseen = (high - low) * 1e-9;
      expect(marks[0]).toBeLessThanOrEqual(low + unseen);
      expect(marks.at(-1)).toBeGreaterThanOrEqual(high - unseen);
      expect(marks.length).toBeLessThan(12);
    }),
  );
  expect(scale([0, 50, 100], 200, 0)(25)).toBe(150);
  expect(
    linePath(
      [1, null, 2],
      (at) => at,
      (value) => value,
    ),
  ).toBe("M0.0 1.0M2.0 2.0");
  expect(labelEvery(12, 600, 7)).toBeGreaterThan(1);
});

test("map: north is up, east is right, and all points fit", () => {
  const pois = poisIn([
    { name: "Leeds", lat: 53.8, lon: -1.54 },
    { name: "York", location: { latitude: 53.96, longitude: -1.08 } },
    { name: "Nowhere", lat: 99, lon: 0 },
    { about: "nameless" },
  ]);
  expect(pois.map(({ name, point }) => [name, point !== null])).toEqual([
    ["Leeds", true],
    ["York", true],
    ["Nowhere", false],
  ]);
  const [leeds, york] = poiMap(pois, 480, 320)?.spots ?? [];
  expect(york && leeds && york.x > leeds.x && york.y < leeds.y).toBe(true);
  for (const spot of [leeds, york])
    expect(spot && spot.x >= 0 && spot.x <= 480 && spot.y >= 0 && spot.y <= 320).toBe(true);
  expect(poiMap(pois.slice(2), 480, 320)).toBeNull();
});

test("itineraries: options with days, or days alone", () => {
  const days = [
    { day: 1, items: [{ time: "9:00", poi: { name: "Forum" } }] },
    { title: "Rest", stops: ["Park"] },
  ];
  expect(optionsIn(days)).toMatchObject([{ title: "Itinerary", days: [{ title: "Day 1" }, { title: "Rest" }] }]);
  expect(optionsIn([{ name: "Slow", days }])[0]).toMatchObject({
    title: "Slow",
    days: [{ stops: [{ name: "Forum", time: "9:00" }] }, {}],
  });
  const inLisbon = ["Alfama", "Day 2 in Belem"].map((title, at) => ({ day: at + 1, title, stops: ["Tower"] }));
  expect(optionsIn(inLisbon)[0]?.days.map(({ title }) => title)).toEqual(["Day 1: Alfama", "Day 2 in Belem"]);
  expect(optionsIn([{ x: 1 }])).toEqual([]);
});

test("comma-separated values: quotes, with commas and line breaks inside", () => {
  expect(csvRows('a,b\r\n"x, ""y""",1\n\n"two\nlines",2')).toEqual([
    ["a", "b"],
    ['x, "y"', "1"],
    ["two\nlines", "2"],
  ]);
  expect([csvCell("12.5"), csvCell("12x"), csvCell("")]).toEqual([12.5, "12x", ""]);
});
