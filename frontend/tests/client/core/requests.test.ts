/** Answers and signals: settled once, and said again only where that is safe. */
import { expect, test } from "vitest";
import type { ClientFrame, ErrorCode } from "../../../src/client/index.js";
import { Bench } from "./bench.js";

const answer = { type: "plan_input", plan_id: "p", request_id: "q", answer: "yes", idempotency_key: "k" } as const;
const signal = { type: "plan_signal", plan_id: "p", signal: "cancel", request_id: "r" } as const;

function ask(bench: Bench, frame: typeof answer | typeof signal, id = 1): Bench {
  return bench.do((session, now) => session.ask(id, frame, now, 60_000));
}

function outcomes(bench: Bench) {
  return bench.take().flatMap((effect) => (effect.do === "settle" ? [effect.outcome] : []));
}

function error(code: ErrorCode, frame: ClientFrame & { plan_id: string; request_id?: string }, more: object = {}) {
  const about = { plan_id: frame.plan_id, request_id: frame.request_id, ...more };
  return { type: "error", code, message: code, ...about, data: { error: code } } as const;
}

const accepted = { type: "input_accepted", plan_id: "p", request_id: "q", epoch: "e", offset: 7 } as const;

test("an answer is said at once, and settles with its place", () => {
  const bench = ask(new Bench().live(), answer);
  expect(bench.said()).toEqual([answer]);
  expect(outcomes(bench.hear(accepted))).toMatchObject([{ id: 1, error: null, accepted: { offset: 7 } }]);
  expect(outcomes(bench.hear(accepted))).toEqual([]);
});

test("without a line, one is opened for it, and let go after it", () => {
  const bench = ask(new Bench(), answer).connected();
  expect(bench.said()).toEqual([answer]);
  bench.hear(accepted).pass(5_000);
  expect(bench.status).toBe("idle");
});

test("K-SND-1: an answer without a word is said again after a break; a signal fails", () => {
  const bench = ask(ask(new Bench().live(), answer), signal, 2);
  expect(outcomes(bench.drop())).toMatchObject([{ id: 2, error: { code: "unanswered", planId: "p" } }]);
  bench.pass(250).connected();
  expect(bench.said()).toContainEqual(answer);
});

test("a signal that wasn't said yet waits for a line", () => {
  const bench = ask(new Bench().live().drop(), signal).pass(250).connected();
  expect(bench.said()).toContainEqual(signal);
});

test("a refusal settles it, with whose answer came first", () => {
  const bench = ask(new Bench().live(), answer).hear(error("already_answered", answer, { by: "ann", at: "then" }));
  expect(outcomes(bench)).toMatchObject([
    { error: { code: "already_answered", by: "ann", at: "then", requestId: "q" } },
  ]);
});

test("while the log is away, an answer is tried again; of a signal that is said", () => {
  const bench = ask(ask(new Bench().live(), answer), signal, 2);
  bench.hear(error("unavailable", answer, { retry_after_ms: 500 })).hear(error("unavailable", signal));
  expect(outcomes(bench)).toMatchObject([{ id: 2, error: { code: "unavailable" } }]);
  expect(bench.pass(499).said()).toEqual([]);
  expect(bench.pass(1).said()).toEqual([answer]);
});

test("what a token's end kept back is said with the next one", () => {
  const bench = new Bench({ fetches: true })
    .follow()
    .do((session, now) => session.token("t1", now))
    .connected();
  bench.hear({ type: "authenticated" }).joined();
  ask(ask(bench, answer), signal, 2).take();
  bench.hear(error("token_expired", answer)).hear(error("token_expired", signal)).take();
  bench.do((session, now) => session.token("t2", now)).hear({ type: "authenticated" });
  expect(bench.said()).toEqual([expect.objectContaining({ type: "authenticate" }), answer, signal]);
});

test("its time is over some day: said or not", () => {
  const bench = ask(new Bench({ random: () => 1 }).live().look(false).drop(), signal);
  bench.pass(59_999).take();
  expect(outcomes(bench.pass(1))).toMatchObject([{ error: { code: "offline" } }]);
  const said = ask(new Bench().live(), answer);
  for (let beat = 0; beat < 6; beat++) said.pass(10_000).hear(null);
  expect(outcomes(said)).toMatchObject([{ error: { code: "timeout" } }]);
});

test("one answer to a question at a time, and not too many questions", () => {
  const bench = ask(ask(new Bench().live(), answer), answer, 2);
  expect(outcomes(bench)).toMatchObject([{ id: 2, error: { code: "busy" } }]);
  for (let id = 3; id < 34; id++) {
    bench.do((session, now) => session.ask(id, { ...answer, request_id: `q${id}` }, now, 60_000));
  }
  expect(outcomes(bench)).toEqual([]);
  bench.do((session, now) => session.ask(34, { ...answer, request_id: "one more" }, now, 60_000));
  expect(outcomes(bench)).toMatchObject([{ id: 34, error: { code: "too_many_requests" } }]);
});

test("a client that was refused or closed says so to all who wait and all who come", () => {
  const bench = ask(new Bench().live(), answer).drop(4503, "not for you");
  expect(outcomes(bench)).toMatchObject([{ id: 1, error: { code: "refused", message: "not for you" } }]);
  expect(outcomes(ask(bench, answer, 2))).toMatchObject([{ id: 2, error: { code: "refused" } }]);
  const closed = ask(new Bench().live(), answer).do((session, now) => session.close(now));
  expect(outcomes(closed)).toMatchObject([{ id: 1, error: { code: "closed" } }]);
});
