/** After any sequence of network errors, the snapshot equals the fold of the log, and no event is delivered twice. */
import fc from "fast-check";
import { expect, test } from "vitest";
import type { Effect } from "../../../src/client/core/effects.js";
import { Session } from "../../../src/client/core/session.js";
import { Subscriptions } from "../../../src/client/core/subscriptions.js";
import { type ClientFrame, emptySnapshot, type EventFrame, type Snapshot } from "../../../src/client/index.js";
import { events, tokens } from "../../stories.js";
import { ModelHub, type ModelLink } from "./model_hub.js";

const PLAN = "plan-1";
/** `PLANCAST_RUNS=20000` runs it longer. */
const RUNS = Number(process.env["PLANCAST_RUNS"] ?? 400);

class World {
  readonly hub = new ModelHub();
  readonly session = new Session({ transports: ["websocket", "sse"], fetches: false, random: () => 0.5 });
  readonly received: EventFrame[] = [];
  now = 0;
  readonly #links = new Map<number, ModelLink>();
  readonly #todo: (() => readonly Effect[])[] = [];

  begin(): void {
    this.do(this.session.follow(PLAN, this.now));
  }

  get subscription() {
    return this.session.subscriptions.begin(PLAN);
  }

  do(effects: readonly Effect[]): void {
    for (const effect of effects) this.#do(effect);
    for (let next = this.#todo.shift(); next; next = this.#todo.shift()) this.do(next());
  }

  #do(effect: Effect): void {
    if (effect.do === "open") this.#open(effect.link, effect.transport === "websocket" && this.hub.blocked);
    else if (effect.do === "send") this.#links.get(effect.link)?.receive(effect.frame);
    else if (effect.do === "close") this.#forget(effect.link);
    else if (effect.do === "probe_hub") this.#todo.push(() => this.session.hubFound(true, this.now));
  }

  #open(id: number, blocked: boolean): void {
    if (blocked) this.#todo.push(() => this.session.closed(id, 1006, "blocked", undefined, this.now));
    else this.#links.set(id, this.hub.connect());
  }

  #forget(id: number): void {
    const link = this.#links.get(id);
    if (link) this.hub.links.delete(link);
    this.#links.delete(id);
  }

  /** The queued frames of the newest connection. */
  get waiting() {
    return [...this.#links.values()].at(-1)?.frames ?? [];
  }

  pump(merging: boolean): void {
    for (const link of this.hub.links) link.pump(merging);
  }

  /** Delivers this many frames of each connection. */
  deliver(count: number): void {
    for (const [id, link] of [...this.#links]) {
      for (let left = count; left > 0; left--) {
        const frame = this.#links.has(id) && link.frames.shift();
        if (!frame) break;
        this.do(this.session.frame(id, frame, this.now));
      }
    }
  }

  fold(most: number): void {
    const before = this.subscription.shown?.offset ?? 0;
    const frames = this.subscription.fold(most);
    this.received.push(...frames);
    // Consecutive, and right after what was folded before.
    let offset = before;
    for (const frame of frames) {
      expect(frame.first ?? frame.offset).toBe(offset + 1);
      offset = frame.offset;
    }
  }

  cut(): void {
    for (const id of [...this.#links.keys()]) {
      this.#forget(id);
      this.do(this.session.closed(id, 1006, "cut", undefined, this.now));
    }
  }

  pass(ms: number): void {
    this.now += ms;
    this.do(this.session.tick(this.now));
  }

  /** Ends all faults and delivers everything, after one more event: a lost last event shows only by the next one. */
  settle(): void {
    this.hub.blocked = false;
    this.hub.send([null]);
    for (let round = 0; round < 60; round++) {
      this.pump(false);
      this.deliver(Infinity);
      this.fold(Infinity);
      this.pass(1_000);
    }
  }
}

/** Named, so that a failing example is readable. */
interface Action {
  readonly name: string;
  readonly given: unknown;
  readonly run: (world: World) => void;
}

const batches = fc.array(fc.option(fc.oneof(tokens, events), { freq: 12 }), { minLength: 1, maxLength: 6 });
const few = fc.integer({ min: 1, max: 8 });

function weighted<Given>(
  weight: number,
  name: string,
  all: fc.Arbitrary<Given>,
  run: (world: World, given: Given) => void,
) {
  return {
    weight,
    arbitrary: all.map((given): Action => ({ name, given, run: (world) => run(world, given) })),
  };
}

const actions = fc.oneof(
  weighted(6, "publish", batches, (world, events) => world.hub.send(events)),
  weighted(6, "pump", fc.boolean(), (world, merging) => world.pump(merging)),
  weighted(8, "deliver", few, (world, count) => world.deliver(count)),
  weighted(3, "fold", few, (world, most) => world.fold(most)),
  weighted(2, "cut", fc.constant(null), (world) => world.cut()),
  weighted(3, "pass", fc.constantFrom(100, 1_000, 30_000), (world, ms) => world.pass(ms)),
  weighted(1, "fork", fc.nat({ max: 4 }), (world, lost) => world.hub.fork(lost)),
  weighted(1, "trim", fc.constant(null), (world) => world.hub.trim()),
  weighted(1, "jump", fc.constant(null), (world) => world.hub.links.forEach((link) => link.jump())),
  weighted(2, "block", fc.boolean(), (world, blocked) => (world.hub.blocked = blocked)),
  weighted(2, "lose", fc.nat(), (world, at) => tamper(world, at, "lose")),
  weighted(2, "double", fc.nat(), (world, at) => tamper(world, at, "double")),
);

/** Drops or duplicates one of the queued events. */
function tamper(world: World, at: number, how: "lose" | "double"): void {
  const indexes = world.waiting.flatMap((frame, index) => ("id" in frame ? [index] : []));
  const index = indexes[at % indexes.length];
  const frame = world.waiting[index ?? -1];
  if (index === undefined || !frame) return;
  if (how === "lose") world.waiting.splice(index, 1);
  else world.waiting.splice(index, 0, frame);
}

/** Everything but the time of the newest event: merged tokens have only that of the first. */
function shown(snapshot: Snapshot | null): unknown {
  return JSON.parse(JSON.stringify({ ...snapshot, updated_at: undefined }));
}

test("after any network errors, the snapshot equals the fold of the log", { timeout: 60_000 }, () => {
  fc.assert(
    fc.property(fc.array(actions, { maxLength: 40 }), (steps) => {
      const world = new World();
      world.begin();
      for (const { run } of steps) run(world);
      world.settle();
      expect(world.subscription.live).toBe(true);
      expect(world.subscription.place?.offset ?? 0).toBe(world.hub.log.length);
      expect(shown(world.subscription.snapshot)).toEqual(shown(world.hub.snapshot));
    }),
    { numRuns: RUNS },
  );
});

test("falling back to a simpler transport and moving up again loses and repeats no events", () => {
  const world = new World();
  const step = (ms: number) => {
    world.hub.send([null, null]);
    world.pump(false);
    world.deliver(Infinity);
    world.fold(Infinity);
    world.pass(ms);
  };
  const transport = () => ("transport" in world.session.connection ? world.session.connection.transport : null);
  world.begin();
  step(1_000);
  world.hub.blocked = true;
  world.cut();
  for (let round = 0; round < 10; round++) step(1_000);
  expect(transport()).toBe("sse");
  world.hub.blocked = false;
  for (let round = 0; round < 40; round++) step(1_000);
  expect(transport()).toBe("websocket");
  world.settle();
  expect(world.received.map(({ offset }) => offset)).toEqual(
    world.received.map((_, at) => at + (world.received[0]?.offset ?? 0)),
  );
  expect(world.received.length).toBeGreaterThan(80);
  expect(world.subscription.place?.offset).toBe(world.hub.log.length);
});

test("K-PLC-2: a gap is requested again at once, from the position before it", () => {
  const world = new World();
  world.begin();
  world.deliver(Infinity);
  world.hub.send([null, null, null]);
  world.pump(false);
  world.waiting.splice(1, 1);
  world.deliver(2);
  expect(world.subscription.place?.offset).toBe(1);
  expect(world.subscription.state).toBe("subscribing");
  expect(world.waiting).toMatchObject([
    { type: "unsubscription_confirmed" },
    { type: "subscription_confirmed", offset: 1, head: 3, recovered: true },
  ]);
  world.settle();
  expect(world.received.map(({ offset }) => offset)).toEqual([1, 2, 3, 4]);
});

test("K-PLC-3: between a lost continuity and its snapshot, the old state and position stay", () => {
  const subscriptions = new Subscriptions(() => 0.5);
  const subscription = subscriptions.begin(PLAN);
  const about = { plan_id: PLAN, epoch: "e" };
  const event = (offset: number) =>
    subscriptions.receive(
      { type: "artifact", ...about, offset, id: `a-${String(offset)}`, data: {} } as unknown as EventFrame,
      0,
    );
  const request_id = subscriptions.subscribeAll(0).find((frame) => frame.type === "subscribe_plan")?.request_id;
  subscriptions.receive(
    { type: "subscription_confirmed", ...about, offset: 2, head: 2, recovered: true, request_id },
    0,
  );
  subscriptions.receive(
    { type: "snapshot", ...about, offset: 2, data: { ...emptySnapshot(PLAN), title: "before" } },
    0,
  );
  const broken = { ...about, epoch: "f", offset: 1, head: 1, recovered: false, reason: "epoch" } as const;
  subscriptions.receive({ type: "subscription_confirmed", ...broken }, 0);
  expect(subscription.place).toEqual({ epoch: "e", offset: 2 });
  expect(subscription.snapshot?.title).toBe("before");
  subscriptions.receive(
    { type: "snapshot", ...about, epoch: "f", offset: 1, data: { ...emptySnapshot(PLAN), title: "after" } },
    0,
  );
  expect(subscription.place).toEqual({ epoch: "f", offset: 1 });
  expect(subscription.snapshot?.title).toBe("after");
  event(2);
  expect(subscription.place?.offset).toBe(2);
});

test("after the same gap twice a snapshot is requested, then with backoff", () => {
  const subscriptions = new Subscriptions(() => 0.5);
  const subscription = subscriptions.begin(PLAN);
  const about = { plan_id: PLAN, epoch: "e" };
  const confirm = (sent: readonly ClientFrame[] | null) => {
    const asked = sent?.find((frame) => frame.type === "subscribe_plan");
    const { request_id } = asked ?? {};
    subscriptions.receive(
      { type: "subscription_confirmed", ...about, offset: 0, head: 2, recovered: true, request_id },
      0,
    );
    return asked?.since;
  };
  const hole = () =>
    subscriptions.receive({ type: "artifact", ...about, offset: 2, id: "a-2", data: {} } as unknown as EventFrame, 0);
  expect(confirm(subscriptions.subscribeAll(0))).toBe("snapshot");
  subscriptions.receive({ type: "snapshot", ...about, offset: 0, data: emptySnapshot(PLAN) }, 0);
  expect(confirm(hole())).toEqual({ epoch: "e", offset: 0 });
  expect(confirm(hole())).toBe("snapshot");
  expect(hole()).toEqual([{ type: "unsubscribe_plan", plan_id: PLAN }]);
  expect(subscription.state).toBe("retrying");
  expect(subscriptions.due()).toBe(500); // 0.25 s, and half of 0.5 s
  expect(subscriptions.subscribeAll(499)).toEqual([]);
  expect(confirm(subscriptions.subscribeAll(500))).toBe("snapshot");
  expect(hole()).toHaveLength(1);
  expect(subscriptions.due()).toBe(750);
});
