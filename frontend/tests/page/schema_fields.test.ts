import { describe, expect, test } from "vitest";
import { fieldsOf, initialOf, inputOf } from "../../src/page/forms/schema_fields.js";

const SCHEMA = {
  type: "object",
  required: ["query", "place"],
  properties: {
    query: { type: "string", title: "Query", maxLength: 4000, description: "What you want to know." },
    user_id: { anyOf: [{ type: "string", maxLength: 64 }, { type: "null" }], default: null, title: "User Id" },
    rows: { type: "integer", minimum: 1, maximum: 50, default: 10 },
    share: { type: "number" },
    may_ask: { type: "boolean", default: true },
    place: { $ref: "#/$defs/Place" },
    pois: { type: "array", items: { type: "object" }, default: [] },
    loop: { $ref: "#/$defs/Loop" },
  },
  $defs: { Place: { type: "string", enum: ["Lisbon", "Porto"] }, Loop: { $ref: "#/$defs/Loop" } },
};
const fields = fieldsOf(SCHEMA);

test("a field for each property, of the matching kind", () => {
  expect(fields.map(({ name, label, kind, required }) => [name, label, kind, required])).toEqual([
    ["query", "Query", "paragraph", true],
    ["user_id", "User id", "text", false],
    ["rows", "Rows", "integer", false],
    ["share", "Share", "number", false],
    ["may_ask", "May ask", "switch", false],
    ["place", "Place", "choice", true],
    ["pois", "Pois", "json", false],
    ["loop", "Loop", "json", false],
  ]);
  expect(fields[0]?.about).toBe("What you want to know.");
  expect(fields[5]?.options).toEqual(["Lisbon", "Porto"]);
});

test("a field starts with its default", () => {
  const initial = initialOf(fields);
  expect(initial).toMatchObject({ query: "", user_id: "", rows: "10", may_ask: "true", pois: "" });
});

describe("a form's input", () => {
  const filled = { ...initialOf(fields), query: "sales by month", place: "Porto" };

  test("becomes the plan's input; empty optional fields are omitted", () => {
    expect(inputOf(fields, filled)).toEqual({
      input: { query: "sales by month", rows: 10, may_ask: true, place: "Porto" },
    });
    expect(inputOf(fields, { ...filled, pois: '[{"name":"Tower"}]', share: "0.5", may_ask: "false" })).toMatchObject({
      input: { pois: [{ name: "Tower" }], share: 0.5, may_ask: false },
    });
  });

  test.each([
    ["query", "  ", "Query is required."],
    ["query", "x".repeat(4001), "At most 4000 characters; this has 4001."],
    ["rows", "many", "Enter a number."],
    ["rows", "1.5", "Enter a whole number."],
    ["rows", "0", "Must be 1 or more."],
    ["rows", "51", "Must be 50 or less."],
    ["pois", "[", "Enter valid JSON."],
  ])("%s: %j is an error of that field", (name, text, problem) => {
    expect(inputOf(fields, { ...filled, [name]: text })).toEqual({ problems: { [name]: problem } });
  });
});

test("a schema without properties has no fields", () => {
  expect(fieldsOf({})).toEqual([]);
  expect(fieldsOf({ properties: "none" })).toEqual([]);
  expect(inputOf([], {})).toEqual({ input: {} });
});
