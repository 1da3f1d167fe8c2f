import { expect, test } from "vitest";
import { announced } from "../../../src/page/plan/conversation/announcer.js";
import { blocks, isPlain } from "../../../src/page/plan/conversation/markdown.js";
import { followsAfter, isAtEnd } from "../../../src/page/plan/conversation/use_scroll_end.js";
import { conversation, newSince } from "../../../src/page/plan/conversation/lines.js";
import { safeImage, safeLink } from "../../../src/page/plan/conversation/urls.js";
import { AT, later, message, plan, step, tool } from "./plans.js";

test("the rows are in order of first appearance", () => {
  const lines = conversation(
    plan({
      messages: [message(1, "a"), message(4, "b")],
      tool_calls: [tool(2)],
      inputs: [{ request_id: "q", offset: 3, at: AT, kind: "approval", prompt: "May I?", agent_name: "Bob" }],
      artifacts: [{ artifact_id: "f", offset: 5, at: AT, name: "x.csv", mime_type: "text/csv" }],
    }),
  );
  expect(lines.map(({ kind, head }) => [kind, head])).toEqual([
    ["message", true],
    ["tool", false],
    ["input", true],
    ["message", true],
    ["artifact", true],
  ]);
});

test("a step's result is placed where the step ended, and last while it is running", () => {
  const steps = [
    step("late", { data: { rows: [] }, status: "in_progress" }),
    step("done", { data: { answer: "42" }, status: "completed", ended_at: later(2) }),
    step("dull", { data: { restarts: 1 }, status: "completed", ended_at: later(1) }),
  ];
  const lines = conversation(plan({ steps, messages: [message(1, "a"), message(3, "b")] }));
  expect(lines.map(({ key }) => key)).toEqual(["message @1", "result done", "message @3", "result late"]);
});

test("new rows are counted from the last one seen", () => {
  const lines = conversation(plan({ messages: [message(1, "a"), message(2, "b"), message(3, "c")] }));
  expect(newSince(lines, "message @1")).toBe(2);
  expect(newSince(lines, "message @3")).toBe(0);
  expect(newSince(lines, "message gone")).toBe(3);
  expect(newSince(lines, undefined)).toBe(0);
});

test("scrolling up stops following the end; reaching it starts again; growing changes neither", () => {
  expect(isAtEnd({ top: 360, height: 1000, seen: 600 })).toBe(true);
  expect(followsAfter(true, 400, { top: 200, height: 1000, seen: 600 })).toBe(false);
  expect(followsAfter(true, 400, { top: 400, height: 2000, seen: 600 })).toBe(true);
  expect(followsAfter(false, 100, { top: 200, height: 1000, seen: 600 })).toBe(false);
  expect(followsAfter(false, 100, { top: 390, height: 1000, seen: 600 })).toBe(true);
});

test("blocks end where appended text cannot change them", () => {
  const text = "One\n\nTwo\n- a\n\n- b\n\n```\nx\n\ny\n```\n\nThree";
  expect(blocks(text)).toEqual(["One\n", "Two\n- a\n\n- b\n", "```\nx\n\ny\n```\n", "Three"]);
  expect(blocks(text).join("\n")).toBe(text);
});

test("only text without Markdown is plain", () => {
  for (const text of ["Looking…", "12 % more, isn't it?", "a\nb"]) expect(isPlain(text)).toBe(true);
  for (const text of ["**a**", "1. a", "- a", "x\n- a", "`a`", "www.a.org", "a | b", "<b>", "# a"]) {
    expect(isPlain(text)).toBe(false);
  }
});

test("safe URLs: http(s), and images without scripts", () => {
  expect(safeLink("https://example.org/a")).toBe("https://example.org/a");
  for (const bad of ["javascript:alert(1)", "data:text/html,<b>", "file:///etc/passwd", "http://", undefined]) {
    expect(safeLink(bad)).toBeNull();
    expect(safeImage(bad)).toBeNull();
  }
  expect(safeImage("data:image/png;base64,AAAA")).toBe("data:image/png;base64,AAAA");
  expect(safeImage("data:image/svg+xml,<svg onload=alert(1)>")).toBeNull();
  expect(safeLink("data:image/png;base64,AAAA")).toBeNull();
});

test("results and questions are announced once, when they are finished; those that exist at first are not", () => {
  const first = plan({ offset: 1, messages: [message(1, "old", { message_type: "result" })] });
  const start = announced(null, first);
  expect(start.lines).toEqual([]);
  const writing = message(2, "Half a", { message_type: "result", streaming: true });
  const half = announced(start, { ...first, offset: 3, messages: [...first.messages, writing, message(3, "hm")] });
  expect(half.lines).toEqual([]);
  const whole = { ...writing, content: "Half a loaf", streaming: false };
  const done = { ...first, offset: 4, messages: [...first.messages, whole, message(3, "hm")] };
  const received = announced(half, done);
  expect(received.lines.map(({ text }) => text)).toEqual(["Ann: Half a loaf"]);
  expect(announced(received, done)).toBe(received);
});
