/**
 * A plan's history as far as it was read, and the plan's snapshot at any event of it.
 *
 * A snapshot is kept every KEPT_EVERY events, so any other is a short fold away. Snapshots share unchanged parts, so they need
 * little memory.
 */
import { type EventFrame, fold, type PlanEvent, type Snapshot } from "../../../client/index.js";
import { landmark, type Landmark } from "./landmarks.js";

const KEPT_EVERY = 100;

export class PlanHistory {
  /** The offset it starts after: 0, unless earlier events were trimmed. */
  readonly start: number;
  readonly #events: (PlanEvent | null)[] = [];
  readonly #moments: string[] = [];
  readonly #landmarks: Landmark[] = [];
  readonly #kept: Snapshot[];

  constructor(base: Snapshot) {
    this.start = base.offset;
    this.#kept = [base];
  }

  /** The offset up to which it is known. */
  get end(): number {
    return this.start + this.#events.length;
  }

  /** The timestamp of each event. */
  get moments(): readonly string[] {
    return this.#moments;
  }

  get landmarks(): readonly Landmark[] {
    return this.#landmarks;
  }

  /** Appends events up to this offset; a frame may stand for several. */
  add(frames: readonly EventFrame[], upTo: number): void {
    for (const frame of frames) {
      if (frame.offset <= this.end) continue;
      this.#push(frame, frame.data.timestamp);
      while (this.end < frame.offset) this.#push(null, frame.data.timestamp);
    }
    const last = this.#moments.at(-1) ?? "";
    while (this.end < upTo) this.#push(null, last);
  }

  /** The snapshot after this event. */
  at(offset: number): Snapshot {
    const wanted = Math.max(this.start, Math.min(offset, this.end));
    const nearest = Math.min(Math.floor((wanted - this.start) / KEPT_EVERY), this.#kept.length - 1);
    let snapshot = this.#kept[nearest] as Snapshot;
    while (snapshot.offset + KEPT_EVERY <= wanted) {
      snapshot = this.#foldOn(snapshot, snapshot.offset + KEPT_EVERY);
      this.#kept.push(snapshot);
    }
    return this.#foldOn(snapshot, wanted);
  }

  #foldOn(snapshot: Snapshot, to: number): Snapshot {
    if (to <= snapshot.offset) return snapshot;
    const events = this.#events.slice(snapshot.offset - this.start, to - this.start);
    return fold(snapshot, snapshot.offset + 1, events);
  }

  #push(event: EventFrame | null, moment: string): void {
    this.#events.push(event);
    this.#moments.push(moment);
    const mark = event && landmark(event, this.end);
    if (mark) this.#landmarks.push(mark);
  }
}
