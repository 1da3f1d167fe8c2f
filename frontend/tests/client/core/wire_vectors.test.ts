/**
 * The wire vectors, from the client's side: what a hub is expected to say is said to a client's rules, which have to follow it
 * without finding anything missing. (The hub's side is run by pytest.)
 */
import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import type { Follower } from "../../../src/client/core/follower.js";
import { type AboutPlan, Watching } from "../../../src/client/core/watching.js";
import { emptySnapshot, type ErrorFrame, type SubscribePlanFrame } from "../../../src/client/index.js";

type Told = Readonly<Record<string, unknown>> & { readonly type: string };

interface Step {
  readonly on?: string;
  readonly say?: Readonly<Record<string, readonly unknown[] | { readonly times: number }>>;
  readonly delete?: string;
  readonly keep?: true;
  readonly put_back?: true;
  readonly connect?: string;
  readonly send?: Partial<Omit<SubscribePlanFrame, "type">> & { readonly type?: string };
  readonly expect?: Told;
  readonly story?: { readonly plan_id: string; readonly after: number; readonly to: number; readonly merged?: boolean };
}

interface Case {
  readonly name: string;
  /** False: the case is about front ends that know no positions, which this client is not. */
  readonly positions?: false;
  readonly steps: readonly Step[];
}

const folder = new URL("../../../../tests/vectors/wire/", import.meta.url);
const files = readdirSync(folder).filter((file) => file.endsWith(".json"));

/** Where the plans' logs stand. */
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
  readonly #watching = new Watching(() => 0);
  readonly #heads: Heads;
  /** What was asked for and isn't confirmed yet. */
  readonly #asked = new Map<string, { readonly since: SubscribePlanFrame["since"]; readonly request_id: string }>();

  constructor(heads: Heads) {
    this.#heads = heads;
  }

  send({ type, plan_id = "", since = "now", request_id = "" }: NonNullable<Step["send"]>): void {
    if (type === "unsubscribe_plan") {
      this.#watching.end(plan_id);
      this.#asked.delete(plan_id);
    }
    if (type !== "subscribe_plan") return;
    const follower = this.#watching.begin(plan_id);
    if (follower.standing === "joined" || follower.standing === "joining") return;
    if (typeof since === "object") this.#begin(follower, "e", since.offset);
    follower.join(request_id);
    this.#asked.set(plan_id, { since, request_id });
  }

  hear(told: Told): void {
    const frame = this.#whole(told);
    if (frame.type === "error") this.#watching.refused(frame as unknown as ErrorFrame, 0);
    const follower = this.#watching.followers.get(String(frame["plan_id"]));
    if (!follower || frame.type === "error") return;
    const before = follower.place?.offset;
    expect(this.#watching.hear(frame as unknown as AboutPlan, 0) ?? [], JSON.stringify(frame)).toEqual([]);
    if (frame.type === "subscription_confirmed") this.#place(follower, frame);
    else if (frame.type === "snapshot" || "id" in told)
      expect(follower.place?.offset, `after ${before}`).toBe(frame["offset"]);
    follower.fold(Infinity);
  }

  tellStory({ plan_id, after, to, merged }: NonNullable<Step["story"]>): void {
    const frame = { type: "agent_message", plan_id, epoch: "e", id: "a", data: {} };
    if (merged) this.hear({ ...frame, first: after + 1, offset: to });
    else for (let offset = after + 1; offset <= to; offset++) this.hear({ ...frame, offset });
  }

  /** K-PLC-1: whoever asked for `now` or `start` has the place of the confirmation. (The client itself asks for snapshots.) */
  #place(follower: Follower, { plan_id, epoch, offset, recovered }: Told): void {
    const asked = this.#asked.get(String(plan_id));
    this.#asked.delete(String(plan_id));
    if (!recovered || (asked?.since !== "now" && asked?.since !== "start")) return;
    this.#begin(follower, String(epoch), Number(offset));
  }

  #begin(follower: Follower, epoch: string, offset: number): void {
    follower.place = { epoch, offset };
    follower.snapshot = { ...emptySnapshot(follower.planId), offset };
  }

  /** What a case leaves open, filled in: as a hub would. */
  #whole(told: Told): Told {
    const [open] = told.type === "subscription_confirmed" ? this.#asked.keys() : this.#watching.followers.keys();
    const about = { plan_id: open, epoch: "e", data: {}, ...told };
    if (told.type === "snapshot") {
      return { ...about, data: { ...emptySnapshot(about.plan_id ?? ""), offset: told["offset"] } };
    }
    if (told.type !== "subscription_confirmed") return "offset" in told ? about : told;
    const { since, request_id } = this.#asked.get(about.plan_id ?? "") ?? {};
    const head = this.#heads.of(about.plan_id ?? "");
    const offset = since === "start" ? 0 : typeof since === "object" ? since.offset : head;
    return { offset, head, recovered: !("reason" in told), ...about, request_id };
  }
}

/** What is expected, as a frame: where anything will do, something does. */
function frameOf(expected: Told): Told {
  const text = JSON.stringify(expected).replaceAll(/"\$(any|text|moment)"/g, '"2026-01-31T12:00:00.000Z"');
  return JSON.parse(text, (name, value: unknown) => (name === "..." ? undefined : value)) as Told;
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
      if (step.expect) client?.hear(frameOf(step.expect));
      if (step.story) client?.tellStory(step.story);
    }
    expect(clients.size).toBeGreaterThan(0);
  });
});
