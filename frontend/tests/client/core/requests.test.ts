/** Answers and signals settle once, and are sent again only where that is safe. */
import { expect, test } from "vitest";
import type { ClientFrame, ErrorCode } from "../../../src/client/index.js";
import { Bench } from "./bench.js";

const answer = { type: "plan_input", plan_id: "p", request_id: "q", answer: "yes", idempotency_key: "k" } as const;
const signal = { type: "plan_signal", plan_id: "p", signal: "cancel", request_id: "r" } as const;

function ask(bench: Bench, frame: typeof answer | typeof signal, id = 1): Bench {
  return bench.do((session, now) => session.request(id, frame, now, 60_000));
}

function outcomes(bench: Bench) {
  return bench.take().flatMap((effect) => (effect.do === "settle" ? [effect.outcome] : []));
}

function error(code: ErrorCode, frame: ClientFrame & { plan_id: string; request_id?: string }, more: object = {}) {
  const about = { plan_id: frame.plan_id, request_id: frame.request_id, ...more };
  return { type: "error", code, message: code, ...about, data: { error: code } } as const;
}

const accepted = { type: "input_accepted", plan_id: "p", request_id: "q", epoch: "e", offset: 7 } as const;

test("an answer is sent at once, and settles with its position", () => {
  const bench = ask(new Bench().live(), answer);
  expect(bench.sent()).toEqual([answer]);
  expect(outcomes(bench.receive(accepted))).toMatchObject([{ id: 1, error: null, accepted: { offset: 7 } }]);
  expect(outcomes(bench.receive(accepted))).toEqual([]);
});

test("without a connection, one is opened for the request and closed after it", () => {
  const bench = ask(new Bench(), answer).connected();
  expect(bench.sent()).toEqual([answer]);
  bench.receive(accepted).pass(5_000);
  expect(bench.status).toBe("idle");
});

test("K-SND-1: an unanswered answer is sent again after a reconnect; a signal fails", () => {
  const bench = ask(ask(new Bench().live(), answer), signal, 2);
  expect(outcomes(bench.drop())).toMatchObject([{ id: 2, error: { code: "unanswered", planId: "p" } }]);
  bench.pass(250).connected();
  expect(bench.sent()).toContainEqual(answer);
});

test("a signal that was not sent yet waits for a connection", () => {
  const bench = ask(new Bench().live().drop(), signal).pass(250).connected();
  expect(bench.sent()).toContainEqual(signal);
});

test("a refusal settles an answer, and names whose answer was accepted", () => {
  const bench = ask(new Bench().live(), answer).receive(error("already_answered", answer, { by: "ann", at: "then" }));
  expect(outcomes(bench)).toMatchObject([
    { error: { code: "already_answered", by: "ann", at: "then", requestId: "q" } },
  ]);
});

test("while the log is unavailable, an answer is retried and a signal fails", () => {
  const bench = ask(ask(new Bench().live(), answer), signal, 2);
  bench.receive(error("unavailable", answer, { retry_after_ms: 500 })).receive(error("unavailable", signal));
  expect(outcomes(bench)).toMatchObject([{ id: 2, error: { code: "unavailable" } }]);
  expect(bench.pass(499).sent()).toEqual([]);
  expect(bench.pass(1).sent()).toEqual([answer]);
});

test("requests held back by an expired token are sent with the next token", () => {
  const bench = new Bench({ fetches: true })
    .follow()
    .do((session, now) => session.token("t1", now))
    .connected();
  bench.receive({ type: "authenticated" }).subscribed();
  ask(ask(bench, answer), signal, 2).take();
  bench.receive(error("token_expired", answer)).receive(error("token_expired", signal)).take();
  bench.do((session, now) => session.token("t2", now)).receive({ type: "authenticated" });
  expect(bench.sent()).toEqual([expect.objectContaining({ type: "authenticate" }), answer, signal]);
});

test("a request times out, whether it was sent or not", () => {
  const bench = ask(new Bench({ random: () => 1 }).live().page(false).drop(), signal);
  bench.pass(59_999).take();
  expect(outcomes(bench.pass(1))).toMatchObject([{ error: { code: "offline" } }]);
  const sent = ask(new Bench().live(), answer);
  for (let beat = 0; beat < 6; beat++) sent.pass(10_000).receive(null);
  expect(outcomes(sent)).toMatchObject([{ error: { code: "timeout" } }]);
});

test("one answer to a question at a time, and a limit of pending requests", () => {
  const bench = ask(ask(new Bench().live(), answer), answer, 2);
  expect(outcomes(bench)).toMatchObject([{ id: 2, error: { code: "busy" } }]);
  for (let id = 3; id < 34; id++) {
    bench.do((session, now) => session.request(id, { ...answer, request_id: `q${id}` }, now, 60_000));
  }
  expect(outcomes(bench)).toEqual([]);
  bench.do((session, now) => session.request(34, { ...answer, request_id: "one more" }, now, 60_000));
  expect(outcomes(bench)).toMatchObject([{ id: 34, error: { code: "too_many_requests" } }]);
});

test("a refused or closed client fails its pending and its new requests", () => {
  const bench = ask(new Bench().live(), answer).drop(4503, "not for you");
  expect(outcomes(bench)).toMatchObject([{ id: 1, error: { code: "refused", message: "not for you" } }]);
  expect(outcomes(ask(bench, answer, 2))).toMatchObject([{ id: 2, error: { code: "refused" } }]);
  const closed = ask(new Bench().live(), answer).do((session, now) => session.close(now));
  expect(outcomes(closed)).toMatchObject([{ id: 1, error: { code: "closed" } }]);
});
