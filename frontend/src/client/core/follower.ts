/**
 * One plan as a client follows it: its place, what it is folded into, and how its subscription stands. Pure; K-PLC-1 to K-PLC-4.
 *
 * Events are checked as they come and folded later, many at once: `fold` does a bounded piece of that work.
 */
import type { EventFrame, PlanEvent, Snapshot, SnapshotFrame, SubscribePlanFrame } from "../../wire/index.js";
import type { Place, SubscriptionConfirmedFrame } from "../../wire/index.js";
import type { PlancastError } from "../errors.js";
import { emptySnapshot, fold } from "../fold/fold.js";

/** `resting`: it failed, and is tried again at `retryAt`; `expired`: with the next token. */
export type Standing = "apart" | "joining" | "joined" | "resting" | "expired" | "refused";

export class Follower {
  readonly planId: string;
  standing: Standing = "apart";
  /** Of the newest event that came: what follows is asked for from here. */
  place: Place | null = null;
  snapshot: Snapshot | null = null;
  /** Of the newest event in the snapshot. */
  shown: Place | null = null;
  error: PlancastError | null = null;
  /** When to try again, of one that rests. */
  retryAt = Infinity;
  /** How often in a row it failed without anything applied in between. */
  failures = 0;
  #requestId = "";
  #head = 0;
  #afresh = false;
  #queue: EventFrame[] = [];

  constructor(planId: string) {
    this.planId = planId;
  }

  /** It is joined, and has all that was said until now. */
  get live(): boolean {
    return this.standing === "joined" && this.place !== null && this.place.offset >= this.#head;
  }

  /** How many events wait to be folded. */
  get waiting(): number {
    return this.#queue.length;
  }

  /** The frame that subscribes from the place where it stands. */
  join(requestId: string): SubscribePlanFrame {
    this.standing = "joining";
    this.#requestId = requestId;
    const since = this.#afresh || !this.place ? "snapshot" : this.place;
    return { type: "subscribe_plan", plan_id: this.planId, since, request_id: requestId };
  }

  /** Is this the subscription under way? */
  asked(requestId: string | undefined): boolean {
    return this.standing === "joining" && this.#requestId === requestId;
  }

  /** The line broke: nothing is subscribed any more. */
  apart(): void {
    if (this.standing !== "refused") this.standing = "apart";
  }

  /** The next subscription begins with a snapshot. */
  beginAfresh(): void {
    this.#afresh = true;
  }

  confirmed(frame: SubscriptionConfirmedFrame): void {
    if (this.asked(frame.request_id)) this.standing = "joined";
    else if (this.standing !== "joined") return; // of a subscription that was taken back
    this.#head = frame.head;
    this.error = null;
  }

  replaced(frame: SnapshotFrame): void {
    if (this.standing !== "joined") return;
    this.#queue = [];
    this.snapshot = { ...frame.data, offset: frame.offset };
    this.place = this.shown = { epoch: frame.epoch, offset: frame.offset };
    this.#afresh = false;
    this.failures = 0;
  }

  /** Takes an event if it comes next; false: something is missing before it. */
  take(frame: EventFrame): boolean {
    if (this.standing !== "joined") return true; // on its way when the subscription was taken back
    if (!this.place) return false;
    const { offset } = this.place;
    if (frame.offset <= offset) return true;
    if ((frame.first ?? frame.offset) !== offset + 1) return false;
    this.#queue.push(frame);
    this.place = { epoch: frame.epoch, offset: frame.offset };
    this.failures = 0;
    return true;
  }

  /** Folds up to so many of the events that wait; gives those that were folded. */
  fold(most: number): readonly EventFrame[] {
    const frames = this.#queue.slice(0, most);
    const [first, last] = [frames[0], frames.at(-1)];
    if (!first || !last) return frames;
    this.#queue = this.#queue.slice(most);
    const snapshot = this.snapshot ?? emptySnapshot(this.planId);
    this.snapshot = fold(snapshot, first.first ?? first.offset, told(frames));
    this.shown = { epoch: last.epoch, offset: last.offset };
    return frames;
  }
}

/** An event for each offset; one that stands for several is followed by nulls. */
function* told(frames: readonly EventFrame[]): Generator<PlanEvent | null> {
  for (const frame of frames) {
    yield frame;
    for (let offset = frame.first ?? frame.offset; offset < frame.offset; offset++) yield null;
  }
}
