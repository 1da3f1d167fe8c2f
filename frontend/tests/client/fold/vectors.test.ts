/** The cases shared with pytest, tests/vectors/fold, divided at every event. */
import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { emptySnapshot, fold } from "../../../src/client/index.js";
import type { PlanEvent, Snapshot } from "../../../src/wire/index.js";

interface Case {
  readonly name: string;
  readonly plan_id: string;
  readonly limit?: number;
  readonly events: readonly PlanEvent[];
  readonly snapshot: Partial<Record<keyof Snapshot, unknown>>;
}

const folder = new URL("../../../../tests/vectors/fold/", import.meta.url);
const files = readdirSync(folder).filter((file) => file.endsWith(".json"));

test("there are vectors", () => {
  expect(files.length).toBeGreaterThan(5);
});

describe.each(files)("%s", (file) => {
  const cases = JSON.parse(readFileSync(new URL(file, folder), "utf8")) as Case[];

  test.each(cases.map((one) => [one.name, one] as const))("%s", (_, { plan_id, events, limit, snapshot }) => {
    for (let cut = 0; cut <= events.length; cut++) {
      const before = fold(emptySnapshot(plan_id), 1, events.slice(0, cut), limit);
      const after = fold(asRead(before), cut + 1, events.slice(cut), limit);
      const shown = asRead(after);
      const named = Object.fromEntries(
        Object.keys(snapshot).map((name) => [name, shown[name as keyof Snapshot] ?? null]),
      );
      expect(named, `cut at ${cut}`).toEqual(snapshot);
    }
  });
});

/** The snapshot as received from a hub. */
function asRead(snapshot: Snapshot): Snapshot {
  return JSON.parse(JSON.stringify(snapshot)) as Snapshot;
}
