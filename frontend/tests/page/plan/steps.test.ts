import fc from "fast-check";
import { expect, test } from "vitest";
import type { StepState } from "../../../src/client/index.js";
import { timeline } from "../../../src/page/plan/steps/lanes.js";
import { step } from "./plans.js";

const shape = (steps: readonly StepState[]) => timeline(steps).rows.map((row) => [row.step.step_id, row.lane]);

test("steps without needs are a sequence in one lane", () => {
  const { rows, lanes } = timeline([step("a", { status: "completed" }), step("b"), step("c")]);
  expect(lanes).toBe(1);
  expect(rows.map(({ arrive, leaves }) => [arrive.length, leaves])).toEqual([
    [0, true],
    [1, true],
    [1, false],
  ]);
  expect(rows.map(({ arrive }) => arrive[0]?.done)).toEqual([undefined, true, false]);
});

test("parallel steps have parallel lanes, which join where both are needed", () => {
  const steps = [step("a"), step("b", { needs: ["a"] }), step("c", { needs: ["a"] }), step("d", { needs: ["b", "c"] })];
  const { rows, lanes } = timeline(steps);
  expect(shape(steps)).toEqual([
    ["a", 0],
    ["b", 1],
    ["c", 0],
    ["d", 0],
  ]);
  expect(lanes).toBe(2);
  expect(rows[3]?.arrive.map(({ from, to }) => [from, to])).toEqual([
    [0, 0],
    [1, 0],
  ]);
  expect(rows[2]?.pass.map(({ from }) => from)).toEqual([1]);
});

test("each step comes after those it needs, in any order of arrival; cycles end", () => {
  const received = [step("c", { needs: ["b"] }), step("b", { needs: ["a"] }), step("a")];
  expect(timeline(received).rows.map((row) => row.step.step_id)).toEqual(["a", "b", "c"]);
  const cycle = [step("a", { needs: ["b"] }), step("b", { needs: ["a"] }), step("x", { needs: ["x", "unknown"] })];
  expect(timeline(cycle).rows).toHaveLength(3);
});

test("any steps: each has a row, and every edge that arrives has a source above", () => {
  const ids = ["a", "b", "c", "d", "e", "f"];
  const some = fc
    .uniqueArray(fc.constantFrom(...ids), { minLength: 1 })
    .chain((received) => fc.tuple(...received.map((id) => fc.subarray(ids).map((needs) => step(id, { needs })))));
  fc.assert(
    fc.property(some, (steps) => {
      const { rows, lanes } = timeline(steps);
      expect(rows.map((row) => row.step.step_id).sort()).toEqual(steps.map((one) => one.step_id).sort());
      let above = new Set<number>();
      for (const row of rows) {
        for (const { from } of [...row.arrive, ...row.pass]) expect(above).toContain(from);
        expect(row.lane).toBeLessThan(lanes);
        expect(row.pass.map(({ from }) => from)).not.toContain(row.lane);
        above = new Set([...row.pass.map(({ from }) => from), ...(row.leaves ? [row.lane] : [])]);
      }
    }),
  );
});
