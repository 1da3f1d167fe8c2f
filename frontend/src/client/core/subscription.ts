/**
 * A subscription to one plan: its state, its position in the log, and the snapshot. Pure; K-PLC-1 to K-PLC-4.
 *
 * Events are checked on arrival and folded later, in batches: `fold` does a bounded part of that work.
 */
import type { EventFrame, PlanEvent, Snapshot, SnapshotFrame, SubscribePlanFrame } from "../../wire/index.js";
import type { Place, SubscriptionConfirmedFrame } from "../../wire/index.js";
import type { PlancastError } from "../errors.js";
import { emptySnapshot, fold } from "../fold/fold.js";

/** `retrying`: it failed, and is requested again at `retryAt`; `expired`: it is requested again with the next token. */
export type SubscriptionState = "unsubscribed" | "subscribing" | "subscribed" | "retrying" | "expired" | "refused";

export class Subscription {
  readonly planId: string;
  state: SubscriptionState = "unsubscribed";
  /** The position of the newest event received; the next subscription continues from here. */
  place: Place | null = null;
  snapshot: Snapshot | null = null;
  /** The position of the newest event in the snapshot. */
  shown: Place | null = null;
  error: PlancastError | null = null;
  /** When to subscribe again, in state `retrying`. */
  retryAt = Infinity;
  /** The failures in a row, since an event or a snapshot was last applied. */
  failures = 0;
  #requestId = "";
  #head = 0;
  #fromSnapshot = false;
  #queue: EventFrame[] = [];

  constructor(planId: string) {
    this.planId = planId;
  }

  /** Whether it is subscribed and has received every event up to the log's head. */
  get live(): boolean {
    return this.state === "subscribed" && this.place !== null && this.place.offset >= this.#head;
  }

  /** The number of events queued for folding. */
  get waiting(): number {
    return this.#queue.length;
  }

  /** Starts to subscribe from its position; returns the frame to send. */
  subscribe(requestId: string): SubscribePlanFrame {
    this.state = "subscribing";
    this.#requestId = requestId;
    const since = this.#fromSnapshot || !this.place ? "snapshot" : this.place;
    return { type: "subscribe_plan", plan_id: this.planId, since, request_id: requestId };
  }

  /** Whether this request id is that of the pending subscription. */
  awaits(requestId: string | undefined): boolean {
    return this.state === "subscribing" && this.#requestId === requestId;
  }

  /** The connection was lost, and the subscription with it. */
  disconnected(): void {
    if (this.state !== "refused") this.state = "unsubscribed";
  }

  /** Makes the next subscription start with a snapshot. */
  requestSnapshot(): void {
    this.#fromSnapshot = true;
  }

  confirmed(frame: SubscriptionConfirmedFrame): void {
    if (this.awaits(frame.request_id)) this.state = "subscribed";
    else if (this.state !== "subscribed") return; // it belongs to a cancelled subscription
    this.#head = frame.head;
    this.error = null;
  }

  replaced(frame: SnapshotFrame): void {
    if (this.state !== "subscribed") return;
    this.#queue = [];
    this.snapshot = { ...frame.data, offset: frame.offset };
    this.place = this.shown = { epoch: frame.epoch, offset: frame.offset };
    this.#fromSnapshot = false;
    this.failures = 0;
  }

  /** Queues an event if it is the next one; returns false if events before it are missing. */
  take(frame: EventFrame): boolean {
    if (this.state !== "subscribed") return true; // sent before the subscription was cancelled
    if (!this.place) return false;
    const { offset } = this.place;
    if (frame.offset <= offset) return true;
    if ((frame.first ?? frame.offset) !== offset + 1) return false;
    this.#queue.push(frame);
    this.place = { epoch: frame.epoch, offset: frame.offset };
    this.failures = 0;
    return true;
  }

  /** Folds at most this many of the queued events, and returns them. */
  fold(most: number): readonly EventFrame[] {
    const frames = this.#queue.slice(0, most);
    const [first, last] = [frames[0], frames.at(-1)];
    if (!first || !last) return frames;
    this.#queue = this.#queue.slice(most);
    const snapshot = this.snapshot ?? emptySnapshot(this.planId);
    this.snapshot = fold(snapshot, first.first ?? first.offset, expanded(frames));
    this.shown = { epoch: last.epoch, offset: last.offset };
    return frames;
  }
}

/** One event per offset: a merged event is followed by nulls. */
function* expanded(frames: readonly EventFrame[]): Generator<PlanEvent | null> {
  for (const frame of frames) {
    yield frame;
    for (let offset = frame.first ?? frame.offset; offset < frame.offset; offset++) yield null;
  }
}
