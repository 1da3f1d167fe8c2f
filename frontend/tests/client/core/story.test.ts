/** Whatever happens on the way, what the page shows is the fold of the story, and no event is told twice. */
import fc from "fast-check";
import { expect, test } from "vitest";
import type { Effect } from "../../../src/client/core/effects.js";
import { Session } from "../../../src/client/core/session.js";
import { Watching } from "../../../src/client/core/watching.js";
import { type ClientFrame, emptySnapshot, type EventFrame, type Snapshot } from "../../../src/client/index.js";
import { events, tokens } from "../../stories.js";
import { ModelHub, type ModelLine } from "./model_hub.js";

const PLAN = "plan-1";
/** `PLANCAST_RUNS=20000` makes a long proof of it. */
const RUNS = Number(process.env["PLANCAST_RUNS"] ?? 400);

class World {
  readonly hub = new ModelHub();
  readonly session = new Session({ transports: ["websocket", "sse"], fetches: false, random: () => 0.5 });
  readonly told: EventFrame[] = [];
  now = 0;
  readonly #lines = new Map<number, ModelLine>();
  readonly #todo: (() => readonly Effect[])[] = [];

  begin(): void {
    this.do(this.session.follow(PLAN, this.now));
  }

  get follower() {
    return this.session.watching.begin(PLAN);
  }

  do(effects: readonly Effect[]): void {
    for (const effect of effects) this.#do(effect);
    for (let next = this.#todo.shift(); next; next = this.#todo.shift()) this.do(next());
  }

  #do(effect: Effect): void {
    if (effect.do === "open") this.#open(effect.line, effect.transport === "websocket" && this.hub.blocked);
    else if (effect.do === "send") this.#lines.get(effect.line)?.hear(effect.frame);
    else if (effect.do === "close") this.#forget(effect.line);
    else if (effect.do === "look_for_hub") this.#todo.push(() => this.session.hubFound(true, this.now));
  }

  #open(id: number, blocked: boolean): void {
    if (blocked) this.#todo.push(() => this.session.closed(id, 1006, "blocked", undefined, this.now));
    else this.#lines.set(id, this.hub.connect());
  }

  #forget(id: number): void {
    const line = this.#lines.get(id);
    if (line) this.hub.lines.delete(line);
    this.#lines.delete(id);
  }

  /** The frames that wait on the line that was opened last. */
  get waiting() {
    return [...this.#lines.values()].at(-1)?.frames ?? [];
  }

  pump(merging: boolean): void {
    for (const line of this.hub.lines) line.pump(merging);
  }

  /** Lets so many frames of each line through. */
  deliver(count: number): void {
    for (const [id, line] of [...this.#lines]) {
      for (let left = count; left > 0; left--) {
        const frame = this.#lines.has(id) && line.frames.shift();
        if (!frame) break;
        this.do(this.session.frame(id, frame, this.now));
      }
    }
  }

  fold(most: number): void {
    const before = this.follower.shown?.offset ?? 0;
    const frames = this.follower.fold(most);
    this.told.push(...frames);
    // Side by side, and right behind what was shown.
    let offset = before;
    for (const frame of frames) {
      expect(frame.first ?? frame.offset).toBe(offset + 1);
      offset = frame.offset;
    }
  }

  cut(): void {
    for (const id of [...this.#lines.keys()]) {
      this.#forget(id);
      this.do(this.session.closed(id, 1006, "cut", undefined, this.now));
    }
  }

  pass(ms: number): void {
    this.now += ms;
    this.do(this.session.tick(this.now));
  }

  /** The weather clears: one thing more is said (what was lost last shows only by what follows), and everything is let through. */
  settle(): void {
    this.hub.blocked = false;
    this.hub.say([null]);
    for (let round = 0; round < 60; round++) {
      this.pump(false);
      this.deliver(Infinity);
      this.fold(Infinity);
      this.pass(1_000);
    }
  }
}

/** Named, so that a failing story can be read. */
interface Happening {
  readonly name: string;
  readonly given: unknown;
  readonly happen: (world: World) => void;
}

const said = fc.array(fc.option(fc.oneof(tokens, events), { freq: 12 }), { minLength: 1, maxLength: 6 });
const few = fc.integer({ min: 1, max: 8 });

function weighted<Given>(
  weight: number,
  name: string,
  all: fc.Arbitrary<Given>,
  happen: (world: World, given: Given) => void,
) {
  return {
    weight,
    arbitrary: all.map((given): Happening => ({ name, given, happen: (world) => happen(world, given) })),
  };
}

const happenings = fc.oneof(
  weighted(6, "say", said, (world, events) => world.hub.say(events)),
  weighted(6, "pump", fc.boolean(), (world, merging) => world.pump(merging)),
  weighted(8, "deliver", few, (world, count) => world.deliver(count)),
  weighted(3, "fold", few, (world, most) => world.fold(most)),
  weighted(2, "cut", fc.constant(null), (world) => world.cut()),
  weighted(3, "pass", fc.constantFrom(100, 1_000, 30_000), (world, ms) => world.pass(ms)),
  weighted(1, "fork", fc.nat({ max: 4 }), (world, lost) => world.hub.fork(lost)),
  weighted(1, "trim", fc.constant(null), (world) => world.hub.trim()),
  weighted(1, "jump", fc.constant(null), (world) => world.hub.lines.forEach((line) => line.jump())),
  weighted(2, "block", fc.boolean(), (world, blocked) => (world.hub.blocked = blocked)),
  weighted(2, "lose", fc.nat(), (world, at) => tamper(world, at, "lose")),
  weighted(2, "double", fc.nat(), (world, at) => tamper(world, at, "double")),
);

/** Loses or doubles one of the events that wait. */
function tamper(world: World, at: number, how: "lose" | "double"): void {
  const places = world.waiting.flatMap((frame, place) => ("id" in frame ? [place] : []));
  const place = places[at % places.length];
  const frame = world.waiting[place ?? -1];
  if (place === undefined || !frame) return;
  if (how === "lose") world.waiting.splice(place, 1);
  else world.waiting.splice(place, 0, frame);
}

/** All but the time of the newest event: of merged tokens, that of the first is known. */
function shown(snapshot: Snapshot | null): unknown {
  return JSON.parse(JSON.stringify({ ...snapshot, updated_at: undefined }));
}

test("in any weather, the store equals the fold of the story", { timeout: 60_000 }, () => {
  fc.assert(
    fc.property(fc.array(happenings, { maxLength: 40 }), (story) => {
      const world = new World();
      world.begin();
      for (const { happen } of story) happen(world);
      world.settle();
      expect(world.follower.live).toBe(true);
      expect(world.follower.place?.offset ?? 0).toBe(world.hub.log.length);
      expect(shown(world.follower.snapshot)).toEqual(shown(world.hub.snapshot));
    }),
    { numRuns: RUNS },
  );
});

test("moving down to a plainer transport and up again loses nothing and repeats nothing", () => {
  const world = new World();
  const step = (ms: number) => {
    world.hub.say([null, null]);
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
  expect(world.told.map(({ offset }) => offset)).toEqual(world.told.map((_, at) => at + (world.told[0]?.offset ?? 0)));
  expect(world.told.length).toBeGreaterThan(80);
  expect(world.follower.place?.offset).toBe(world.hub.log.length);
});

test("K-PLC-2: a hole is asked for again, at once, from where it is", () => {
  const world = new World();
  world.begin();
  world.deliver(Infinity);
  world.hub.say([null, null, null]);
  world.pump(false);
  world.waiting.splice(1, 1);
  world.deliver(2);
  expect(world.follower.place?.offset).toBe(1);
  expect(world.follower.standing).toBe("joining");
  expect(world.waiting).toMatchObject([
    { type: "unsubscription_confirmed" },
    { type: "subscription_confirmed", offset: 1, head: 3, recovered: true },
  ]);
  world.settle();
  expect(world.told.map(({ offset }) => offset)).toEqual([1, 2, 3, 4]);
});

test("K-PLC-3: between a break and its snapshot the old state and the old place stay", () => {
  const watching = new Watching(() => 0.5);
  const follower = watching.begin(PLAN);
  const about = { plan_id: PLAN, epoch: "e" };
  const event = (offset: number) =>
    watching.hear(
      { type: "artifact", ...about, offset, id: `a-${String(offset)}`, data: {} } as unknown as EventFrame,
      0,
    );
  const request_id = watching.joinAll(0).find((frame) => frame.type === "subscribe_plan")?.request_id;
  watching.hear({ type: "subscription_confirmed", ...about, offset: 2, head: 2, recovered: true, request_id }, 0);
  watching.hear({ type: "snapshot", ...about, offset: 2, data: { ...emptySnapshot(PLAN), title: "before" } }, 0);
  const broken = { ...about, epoch: "f", offset: 1, head: 1, recovered: false, reason: "epoch" } as const;
  watching.hear({ type: "subscription_confirmed", ...broken }, 0);
  expect(follower.place).toEqual({ epoch: "e", offset: 2 });
  expect(follower.snapshot?.title).toBe("before");
  watching.hear(
    { type: "snapshot", ...about, epoch: "f", offset: 1, data: { ...emptySnapshot(PLAN), title: "after" } },
    0,
  );
  expect(follower.place).toEqual({ epoch: "f", offset: 1 });
  expect(follower.snapshot?.title).toBe("after");
  event(2);
  expect(follower.place?.offset).toBe(2);
});

test("a hub that leaves the same hole again is asked for a snapshot, and then not too often", () => {
  const watching = new Watching(() => 0.5);
  const follower = watching.begin(PLAN);
  const about = { plan_id: PLAN, epoch: "e" };
  const confirm = (said: readonly ClientFrame[] | null) => {
    const asked = said?.find((frame) => frame.type === "subscribe_plan");
    const { request_id } = asked ?? {};
    watching.hear({ type: "subscription_confirmed", ...about, offset: 0, head: 2, recovered: true, request_id }, 0);
    return asked?.since;
  };
  const hole = () =>
    watching.hear({ type: "artifact", ...about, offset: 2, id: "a-2", data: {} } as unknown as EventFrame, 0);
  expect(confirm(watching.joinAll(0))).toBe("snapshot");
  watching.hear({ type: "snapshot", ...about, offset: 0, data: emptySnapshot(PLAN) }, 0);
  expect(confirm(hole())).toEqual({ epoch: "e", offset: 0 });
  expect(confirm(hole())).toBe("snapshot");
  expect(hole()).toEqual([{ type: "unsubscribe_plan", plan_id: PLAN }]);
  expect(follower.standing).toBe("resting");
  expect(watching.due()).toBe(500); // 0.25 s, and half of 0.5 s
  expect(watching.joinAll(499)).toEqual([]);
  expect(confirm(watching.joinAll(500))).toBe("snapshot");
  expect(hole()).toHaveLength(1);
  expect(watching.due()).toBe(750);
});
