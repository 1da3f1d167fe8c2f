import { expect, test } from "vitest";
import { answerForm } from "../../../src/page/plan/inputs/input_form.js";
import { answerLabel, optionsOf } from "../../../src/page/plan/inputs/options.js";

test("options: values, or objects with a value and a label", () => {
  expect(optionsOf({ kind: "approval", options: ["yes", "no"] })).toMatchObject([
    { label: "Yes", answer: "yes", primary: true },
    { label: "No", answer: "no", primary: false },
  ]);
  expect(optionsOf({ kind: "approval" }).map(({ answer }) => answer)).toEqual([true, false]);
  expect(optionsOf({ kind: "choice", options: [{ value: 3, label: "Three" }, { x: 1 }] })).toMatchObject([
    { label: "Three", answer: 3 },
    { label: '{"x":1}', answer: { x: 1 } },
  ]);
  expect(optionsOf({ kind: "clarification" })).toEqual([]);
});

test("labels of answers", () => {
  expect(answerLabel({ kind: "choice", options: [{ value: 3, label: "Three" }], answer: 3 })).toBe("Three");
  expect(answerLabel({ kind: "clarification", answer: "Q3" })).toBe("Q3");
  expect(answerLabel({ kind: "approval", answer: null })).toBe("No answer");
});

test("without a schema, an answer is a text", () => {
  const { fields, read } = answerForm(undefined);
  expect(fields).toHaveLength(1);
  expect(read({ answer: "Q3" })).toEqual({ answer: "Q3" });
  expect(read({ answer: " " })).toHaveProperty("problems");
});

test("a schema of one value is one field; of an object, its properties", () => {
  expect(answerForm({ type: "integer", minimum: 1 }).read({ answer: "7" })).toEqual({ answer: 7 });
  expect(answerForm({ type: "integer", minimum: 1 }).read({ answer: "0" })).toHaveProperty("problems.answer");
  const form = answerForm({
    type: "object",
    properties: { a: { type: "boolean" }, b: { type: "string" } },
    required: ["b"],
  });
  expect(form.read({ a: "true", b: "x" })).toEqual({ answer: { a: true, b: "x" } });
  expect(form.read({ a: "true", b: "" })).toHaveProperty("problems.b");
});
