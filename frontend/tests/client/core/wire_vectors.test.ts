/**
 * The wire vectors, from the client's side: the frames expected of a hub are fed to the client's subscriptions, which must accept
 * them without a gap. (pytest runs the hub's side.)
 */
import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import type { Subscription } from "../../../src/client/core/subscription.js";
import { type PlanFrame, Subscriptions } from "../../../src/client/core/subscriptions.js";
import { emptySnapshot, type ErrorFrame, type SubscribePlanFrame } from "../../../src/client/index.js";

type Expected = Readonly<Record<string, unknown>> & { readonly type: string };

interface Step {
  readonly on?: string;
  readonly say?: Readonly<Record<string, readonly unknown[] | { readonly times: number }>>;
  readonly delete?: string;
  readonly keep?: true;
  readonly put_back?: true;
  readonly connect?: string;
  readonly send?: Partial<Omit<SubscribePlanFrame, "type">> & { readonly type?: string };
  readonly expect?: Expected;
  readonly story?: { readonly plan_id: string; readonly after: number; readonly to: number; readonly merged?: boolean };
}

interface Case {
  readonly name: string;
  /** False: the case is about clients that do not track positions; this one does. */
  readonly positions?: false;
  readonly steps: readonly Step[];
}

const folder = new URL("../../../../tests/vectors/wire/", import.meta.url);
const files = readdirSync(folder).filter((file) => file.endsWith(".json"));

/** The heads of the plans' logs. */
class Heads {
  #heads = new Map<string, number>();
  #kept = new Map<string, number>();

  of(planId: string): number {
    return this.#heads.get(planId) ?? 0;
  }

  step({ say = {}, delete: deleted, keep, put_back }: Step): void {
    for (const [planId, events] of Object.entries(say)) {
      this.#heads.set(planId, this.of(planId) + ("times" in events ? events.times : events.length));
    }
    if (deleted) this.#heads.delete(deleted);
    if (keep) this.#kept = new Map(this.#heads);
    if (put_back) this.#heads = new Map(this.#kept);
  }
}

/** One connection of a case. */
class Client {
  readonly #subscriptions = new Subscriptions(() => 0);
  readonly #heads: Heads;
  /** The subscriptions that are not confirmed yet. */
  readonly #asked = new Map<string, { readonly since: SubscribePlanFrame["since"]; readonly request_id: string }>();

  constructor(heads: Heads) {
    this.#heads = heads;
  }

  send({ type, plan_id = "", since = "now", request_id = "" }: NonNullable<Step["send"]>): void {
    if (type === "unsubscribe_plan") {
      this.#subscriptions.end(plan_id);
      this.#asked.delete(plan_id);
    }
    if (type !== "subscribe_plan") return;
    const subscription = this.#subscriptions.begin(plan_id);
    if (subscription.state === "subscribed" || subscription.state === "subscribing") return;
    if (typeof since === "object") this.#begin(subscription, "e", since.offset);
    subscription.subscribe(request_id);
    this.#asked.set(plan_id, { since, request_id });
  }

  receive(expected: Expected): void {
    const frame = this.#whole(expected);
    if (frame.type === "error") this.#subscriptions.refused(frame as unknown as ErrorFrame, 0);
    const subscription = this.#subscriptions.all.get(String(frame["plan_id"]));
    if (!subscription || frame.type === "error") return;
    const before = subscription.place?.offset;
    expect(this.#subscriptions.receive(frame as unknown as PlanFrame, 0) ?? [], JSON.stringify(frame)).toEqual([]);
    if (frame.type === "subscription_confirmed") this.#setPosition(subscription, frame);
    else if (frame.type === "snapshot" || "id" in expected)
      expect(subscription.place?.offset, `after ${before}`).toBe(frame["offset"]);
    subscription.fold(Infinity);
  }

  receiveStory({ plan_id, after, to, merged }: NonNullable<Step["story"]>): void {
    const frame = { type: "agent_message", plan_id, epoch: "e", id: "a", data: {} };
    if (merged) this.receive({ ...frame, first: after + 1, offset: to });
    else for (let offset = after + 1; offset <= to; offset++) this.receive({ ...frame, offset });
  }

  /** K-PLC-1: a subscription from `now` or `start` takes the position of the confirmation. (The client itself requests snapshots.) */
  #setPosition(subscription: Subscription, { plan_id, epoch, offset, recovered }: Expected): void {
    const asked = this.#asked.get(String(plan_id));
    this.#asked.delete(String(plan_id));
    if (!recovered || (asked?.since !== "now" && asked?.since !== "start")) return;
    this.#begin(subscription, String(epoch), Number(offset));
  }

  #begin(subscription: Subscription, epoch: string, offset: number): void {
    subscription.place = { epoch, offset };
    subscription.snapshot = { ...emptySnapshot(subscription.planId), offset };
  }

  /** Fills in the fields that a case leaves out, as a hub would. */
  #whole(expected: Expected): Expected {
    const [open] = expected.type === "subscription_confirmed" ? this.#asked.keys() : this.#subscriptions.all.keys();
    const about = { plan_id: open, epoch: "e", data: {}, ...expected };
    if (expected.type === "snapshot") {
      return { ...about, data: { ...emptySnapshot(about.plan_id ?? ""), offset: expected["offset"] } };
    }
    if (expected.type !== "subscription_confirmed") return "offset" in expected ? about : expected;
    const { since, request_id } = this.#asked.get(about.plan_id ?? "") ?? {};
    const head = this.#heads.of(about.plan_id ?? "");
    const offset = since === "start" ? 0 : typeof since === "object" ? since.offset : head;
    return { offset, head, recovered: !("reason" in expected), ...about, request_id };
  }
}

/** The expected frame, with placeholders replaced by values. */
function frameOf(expected: Expected): Expected {
  const text = JSON.stringify(expected).replaceAll(/"\$(any|text|moment)"/g, '"2026-01-31T12:00:00.000Z"');
  return JSON.parse(text, (name, value: unknown) => (name === "..." ? undefined : value)) as Expected;
}

test("there are vectors", () => {
  expect(files.length).toBeGreaterThan(5);
});

describe.each(files)("%s", (file) => {
  const { cases } = JSON.parse(readFileSync(new URL(file, folder), "utf8")) as { readonly cases: readonly Case[] };
  const ours = cases.filter(({ positions = true }) => positions);

  test.each(ours.map((one) => [one.name, one] as const))("%s", (_, { steps }) => {
    const heads = new Heads();
    const clients = new Map<string, Client>();
    for (const step of steps) {
      heads.step(step);
      if (step.connect) clients.set(step.connect, new Client(heads));
      const client = clients.get(step.on ?? "a");
      if (step.send) client?.send(step.send);
      if (step.expect) client?.receive(frameOf(step.expect));
      if (step.story) client?.receiveStory(step.story);
    }
    expect(clients.size).toBeGreaterThan(0);
  });
});
