import fc from "fast-check";
import { expect, test } from "vitest";
import { EventStreamReader, type Message } from "../../../src/client/links/event_stream.js";

function read(...pieces: readonly string[]): Message[] {
  const reader = new EventStreamReader();
  return pieces.flatMap((piece) => reader.read(piece));
}

test("messages, event names, comments, and ignored fields", () => {
  const text = 'retry: 2000\n\n: still here\n\nid: e:1\ndata: {"a":1}\n\nevent: end\ndata:{"plan_id":"p"}\n\n';
  expect(read(text)).toEqual([
    { event: "message", data: '{"a":1}' },
    { event: "end", data: '{"plan_id":"p"}' },
  ]);
});

test("data of several lines is one message; only one leading space is removed", () => {
  expect(read("data: one\ndata:  two\ndata\n\n")).toEqual([{ event: "message", data: "one\n two\n" }]);
});

test("an unfinished message is not returned", () => {
  expect(read("data: 1\n")).toEqual([]);
  expect(read("data: 1\n", "\n")).toHaveLength(1);
});

test("chunks and line endings make no difference", () => {
  const line = fc.string({ unit: fc.constantFrom("a", "ö", ":", " ", "😀") });
  const texts = fc.array(
    line.map((text) => `data: ${text}`),
    { minLength: 1, maxLength: 5 },
  );
  const cuts = fc.array(fc.nat({ max: 60 }), { maxLength: 6 });
  fc.assert(
    fc.property(texts, fc.constantFrom("\n", "\r\n", "\r"), cuts, (lines, end, cutsAt) => {
      const text = lines.map((one) => one + end + end).join("") + "data: end\n\n";
      const sorted = [0, ...cutsAt.map((cut) => Math.min(cut, text.length)), text.length].sort((a, b) => a - b);
      const pieces = sorted.slice(1).map((cut, at) => text.slice(sorted[at], cut));
      expect(read(...pieces)).toEqual(read(text));
      expect(read(text)).toHaveLength(lines.length + 1);
    }),
  );
});
