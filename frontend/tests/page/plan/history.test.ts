import { expect, test, vi } from "vitest";
import { emptySnapshot, type EventQuery, fold, PlancastError, type PlanEvent } from "../../../src/client/index.js";
import { HistoryReader, type HistorySource } from "../../../src/page/plan/history/history_reader.js";
import { landmark } from "../../../src/page/plan/history/landmarks.js";
import { momentLink, momentOf, momentText } from "../../../src/page/plan/history/moments.js";
import { PlanHistory } from "../../../src/page/plan/history/plan_history.js";
import { playedBy, schedule } from "../../../src/page/plan/history/playback.js";
import { frame, later, agentMessage } from "./plans.js";

const story = Array.from({ length: 450 }, (_, at): PlanEvent => agentMessage(`line ${at + 1}`, at));

/** Generous, for busy machines. */
const PATIENT = { timeout: 30_000 };

test("a link to a position converts back to it", () => {
  const place = { epoch: "k3.f9", offset: 57 };
  expect(momentOf(momentText(place))).toEqual(place);
  expect(momentLink({ origin: "http://hub" }, "p:1", place)).toBe("http://hub/plan/p%3A1?at=k3.f9.57");
  expect(momentLink({ origin: "http://hub" }, "p", null)).toBe("http://hub/plan/p");
  for (const bad of [null, "", "57", "e.", "e.x", ".5", "e.-1"]) expect(momentOf(bad)).toBeNull();
});

test("the snapshot at any event equals the fold up to it, in any order of access", () => {
  const past = new PlanHistory(emptySnapshot("p"));
  past.add(
    story.map((event, at) => frame(at + 1, event)),
    story.length,
  );
  for (const offset of [449, 0, 100, 101, 250, 7, 450, 9_999]) {
    expect(past.at(offset)).toEqual(fold(emptySnapshot("p"), 1, story.slice(0, offset)));
  }
});

test("a frame may stand for several events, and known events are ignored", () => {
  const past = new PlanHistory(emptySnapshot("p"));
  past.add([frame(1, agentMessage("a")), frame(4, agentMessage("b"), 2)], 4);
  past.add([frame(4, agentMessage("b"), 2), frame(5, agentMessage("c"))], 6);
  expect(past.end).toBe(6);
  expect(past.at(6).messages.map(({ content }) => content)).toEqual(["a", "b", "c"]);
  expect(past.moments).toHaveLength(6);
});

function hub(limit: number, fails?: (query: EventQuery) => void): HistorySource {
  return {
    events: async (plan_id, query = {}) => {
      await Promise.resolve();
      fails?.(query);
      const after = query.after ?? 0;
      const events = story.slice(after, after + limit).map((event, at) => frame(after + at + 1, event));
      return { plan_id, epoch: "e", offset: after + events.length, head: story.length, events };
    },
    snapshot: async () => {
      await Promise.resolve();
      return { snapshot: fold(emptySnapshot("p"), 1, story), place: { epoch: "e", offset: story.length } };
    },
  };
}

test("history is read page by page, once, as far as it is needed", async () => {
  const asked = vi.fn<HistorySource["events"]>(hub(100).events);
  const archive = new HistoryReader({ ...hub(100), events: asked }, "p", null);
  archive.subscribe(() => undefined);
  archive.want(250);
  archive.want(300);
  expect(archive.getSnapshot().loading).toBe(true);
  await vi.waitFor(
    () => expect(archive.getSnapshot()).toMatchObject({ end: 300, loading: false, error: null }),
    PATIENT,
  );
  archive.want(120);
  expect(asked.mock.calls.map(([, query]) => query?.after)).toEqual([0, 100, 200]);
});

test("if the first events were trimmed, the history starts at the current snapshot", async () => {
  const trimmed = hub(100, ({ after }) => {
    if (after === 0) throw new PlancastError("continuity_lost", "trimmed", { reason: "trimmed" });
  });
  const archive = new HistoryReader(trimmed, "p", null);
  archive.subscribe(() => undefined);
  archive.want(450);
  await vi.waitFor(
    () => expect(archive.getSnapshot()).toMatchObject({ end: 450, loading: false, error: null }),
    PATIENT,
  );
  expect(archive.getSnapshot().past.start).toBe(450);
});

test("a link to a position of another epoch is an error; the next call reads the current history", async () => {
  const other = hub(500, ({ epoch }) => {
    if (epoch === "old") throw new PlancastError("continuity_lost", "forked");
  });
  const archive = new HistoryReader(other, "p", { epoch: "old", offset: 7 });
  archive.subscribe(() => undefined);
  archive.want(10);
  await vi.waitFor(() => expect(archive.getSnapshot().error?.code).toBe("continuity_lost"), PATIENT);
  archive.want(10);
  await vi.waitFor(() => expect(archive.getSnapshot()).toMatchObject({ end: 450, error: null }), PATIENT);
});

test("reading stops when there are no subscribers", async () => {
  let release: () => void = () => undefined;
  const slow: HistorySource = {
    ...hub(100),
    events: (plan, query) => new Promise((resolve) => (release = () => resolve(hub(100).events(plan, query)))),
  };
  const archive = new HistoryReader(slow, "p", null);
  const stop = archive.subscribe(() => undefined);
  archive.want(300);
  await vi.waitFor(() => expect(archive.getSnapshot().loading).toBe(true), PATIENT);
  stop();
  release();
  await new Promise((resolve) => setTimeout(resolve, 0));
  expect(archive.getSnapshot()).toMatchObject({ end: 0, loading: false });
});

test("playback keeps the original pace, without long pauses, and never goes backwards", () => {
  const due = schedule([later(0), later(1), later(0.5), later(60), later(61)]);
  expect(due).toEqual([0, 1_000, 1_000, 3_000, 4_000]);
  expect([-1, 0, 999, 1_000, 3_500, 9_000].map((ms) => playedBy(due, ms))).toEqual([0, 1, 1, 3, 4, 5]);
});

test("finished steps, errors, questions and the end are landmarks", () => {
  const data = { plan_id: "p", timestamp: later(0) };
  const kind = (event: PlanEvent) => landmark(frame(1, event), 1)?.kind ?? null;
  expect(kind({ type: "step_update", data: { ...data, step_id: "s", status: "completed" } })).toBe("step");
  expect(kind({ type: "step_update", data: { ...data, step_id: "s", status: "retrying" } })).toBe("trouble");
  expect(kind({ type: "step_update", data: { ...data, step_id: "s", status: "in_progress" } })).toBeNull();
  expect(kind({ type: "plan_update", data: { ...data, status: "completed" } })).toBe("end");
  expect(kind({ type: "plan_update", data: { ...data, status: "completed", step_id: "s" } })).toBeNull();
  expect(kind(agentMessage("x"))).toBeNull();
});
