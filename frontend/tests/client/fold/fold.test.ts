/** Properties of the fold, and equality with Python's. */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { expect, test } from "vitest";
import { emptySnapshot, fold, type PlanEvent, type Snapshot } from "../../../src/client/index.js";
import { partWeight, textWeight, weightOf } from "../../../src/client/fold/weight.js";
import { message, planUpdate } from "../../scripted_hub.js";
import { limits, stories } from "../../stories.js";

const asRead = (snapshot: Snapshot) => JSON.parse(JSON.stringify(snapshot)) as Snapshot;

test("how events are divided into folds makes no difference", () => {
  const cut = fc.nat({ max: 40 });
  fc.assert(
    fc.property(stories, limits, cut, (story, limit, at) => {
      const whole = fold(emptySnapshot("plan-1"), 1, story, limit);
      const before = asRead(fold(emptySnapshot("plan-1"), 1, story.slice(0, at), limit));
      const after = fold(before, Math.min(at, story.length) + 1, story.slice(at), limit);
      expect(asRead(after)).toEqual(asRead(whole));
    }),
  );
});

test("a fold does not change its input", () => {
  fc.assert(
    fc.property(stories, stories, limits, (before, after, limit) => {
      const snapshot = deepFrozen(fold(emptySnapshot("plan-1"), 1, deepFrozen(before), limit));
      fold(snapshot, snapshot.offset + 1, deepFrozen(after), limit);
    }),
  );
});

test("a part's JSON is never longer than its weight", () => {
  fc.assert(
    fc.property(stories, limits, (story, limit) => {
      const { messages, tool_calls, artifacts, inputs, weight } = fold(emptySnapshot("plan-1"), 1, story, limit);
      const weighed = [
        ...messages,
        ...tool_calls,
        ...artifacts,
        ...inputs.filter((one) => one.answered_at !== undefined),
      ];
      expect(weight).toBe(weighed.reduce((sum, part) => sum + partWeight(part), 0));
      for (const part of weighed) expect(Buffer.byteLength(JSON.stringify(part))).toBeLessThanOrEqual(partWeight(part));
    }),
  );
});

test("text weighs the UTF-8 length of its JSON", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), (text) => {
      expect(textWeight(text)).toBe(Buffer.byteLength(JSON.stringify(text)) - 2);
    }),
  );
  expect(weightOf({ a: [1, "é", null, { b: true }] })).toBe(2 + (3 + 2) + (2 + 25 + 5 + 6 + (1 + 2 + 3 + 5 + 2)));
});

test("parts that an event does not touch keep their identity", () => {
  const events = [planUpdate({ title: "T" }), message("one", { message_id: "m" }), message("two"), message("three")];
  const step = {
    type: "step_update",
    data: { plan_id: "p", timestamp: events[0]?.data.timestamp ?? "", step_id: "s", status: "in_progress" },
  } as const;
  const before = fold(emptySnapshot("p"), 1, [...events, step]);
  const after = fold(before, 6, [message(" and more", { message_id: "m", append: true })]);
  expect(after.messages[0]).not.toBe(before.messages[0]);
  expect(after.messages.slice(1)).toEqual(before.messages.slice(1));
  after.messages.slice(1).forEach((one, at) => expect(one).toBe(before.messages[at + 1]));
  for (const part of ["steps", "tool_calls", "inputs", "artifacts", "omitted", "labels"] as const) {
    expect(after[part], part).toBe(before[part]);
  }
  expect(fold(after, 1, events)).toBe(after);
});

test("invalid events do not break the fold", () => {
  const types = [
    "plan_update",
    "step_update",
    "agent_message",
    "tool_call",
    "input_request",
    "input_response",
    "artifact",
  ];
  const unfit = fc.record({
    type: fc.constantFrom(...types, "__proto__"),
    data: fc.oneof(fc.object(), fc.constant(null)),
  });
  fc.assert(
    fc.property(fc.array(unfit), (events) => {
      const story = [...(events as unknown as PlanEvent[]), planUpdate({ title: "after all" })];
      expect(fold(emptySnapshot("p"), 1, story)).toMatchObject({ offset: story.length, title: "after all" });
    }),
  );
});

test("a gap before the first event is an error", () => {
  expect(() => fold(emptySnapshot("p"), 2, [null])).toThrow("first must be at most 1; got 2");
});

test("Python computes the same snapshots", () => {
  const root = fileURLToPath(new URL("../../../../", import.meta.url));
  const cases = fc.sample(fc.tuple(stories, limits), 400).map(([events, limit]) => ({ events, limit }));
  const python = spawnSync(join(root, ".venv/bin/python"), ["-c", PYTHON], {
    cwd: root,
    input: cases.map((one) => JSON.stringify(one)).join("\n"),
    encoding: "utf8",
    maxBuffer: 2 ** 28,
  });
  expect(python.stderr).toBe("");
  const folded = python.stdout.trimEnd().split("\n");
  expect(folded).toHaveLength(cases.length);
  cases.forEach(({ events, limit }, at) => {
    const snapshot = fold(emptySnapshot("plan-1"), 1, events, limit);
    expect(withoutNulls(asRead(snapshot)), JSON.stringify(events)).toEqual(JSON.parse(folded[at] ?? ""));
  });
});

const PYTHON = `
import json, sys
from broadcasters.events import parse
from broadcasters.fold import fold
from broadcasters.snapshot import empty, encode
for line in sys.stdin.buffer.read().split(b"\\n"):
    case = json.loads(line)
    events = [None if event is None else parse(json.dumps(event).encode()) for event in case["events"]]
    sys.stdout.buffer.write(encode(fold(empty("plan-1"), 1, events, case["limit"])) + b"\\n")
`;

/** Removes null fields of parts; data inside them stays. */
function withoutNulls(snapshot: Snapshot): unknown {
  const clean = (part: object) => Object.fromEntries(Object.entries(part).filter(([, value]) => value !== null));
  const parts = ["steps", "messages", "tool_calls", "inputs", "artifacts"] as const;
  return { ...clean(snapshot), ...Object.fromEntries(parts.map((name) => [name, snapshot[name].map(clean)])) };
}

function deepFrozen<Value>(value: Value): Value {
  if (typeof value === "object" && value !== null) Object.values(Object.freeze(value)).forEach(deepFrozen);
  return value;
}
