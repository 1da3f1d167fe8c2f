/** The store of a plan: the view a page renders, and the listeners. */
import type { EventFrame, Place, PlanStatus, Snapshot } from "../wire/index.js";
import type { Subscription } from "./core/subscription.js";
import type { PlancastError } from "./errors.js";
import { Listeners } from "./listeners.js";

/** How current a plan's view is. */
export type PlanPhase =
  /** The plan is not watched, or there is no connection. */
  | "waiting"
  /** Missed events are being received. */
  | "catching_up"
  /** Up to date: every event arrives as soon as it is published. */
  | "live"
  /** The hub refused the subscription; see `error`. */
  | "refused";

/** The state of a plan as a page shows it. Unchanged parts keep their identity. */
export interface PlanView {
  readonly planId: string;
  /** The plan, folded from its events; null until it is known. */
  readonly snapshot: Snapshot | null;
  /** The snapshot's status; null until it is known. */
  readonly status: PlanStatus | null;
  /** The position of the newest event in the snapshot; null until it is known. */
  readonly place: Place | null;
  readonly phase: PlanPhase;
  /** Whether `phase` is `live`. */
  readonly live: boolean;
  /** Why the plan is refused, or not available yet. */
  readonly error: PlancastError | null;
}

/** The store of one plan. The plan is watched while it has listeners, and for `lingerMs` after that. */
export interface PlanStore {
  readonly planId: string;
  /** The current view; the same object until it changes. */
  readonly getSnapshot: () => PlanView;
  /** Calls back after each change; returns a function that stops it. */
  readonly subscribe: (listener: () => void) => () => void;
  /** Calls back with the events as they are folded, in order, each once; returns a function that stops it. A snapshot may replace some. */
  readonly onEvents: (listener: (events: readonly EventFrame[]) => void) => () => void;
  /** The newest events folded since the plan is watched, oldest first, without a gap; a snapshot empties the list. */
  readonly recent: () => readonly EventFrame[];
}

/** A watched plan: its subscription, view and listeners. */
export class Watch {
  readonly subscription: Subscription;
  readonly changes: Listeners;
  readonly events: Listeners<[readonly EventFrame[]]>;
  view: PlanView;
  recent: readonly EventFrame[] = [];
  readonly #historyLimit: number;
  /** Cancels the pending end of the watch. */
  cancelEnd: (() => void) | undefined;

  constructor(subscription: Subscription, historyLimit: number, later: (callback: () => void) => void) {
    this.#historyLimit = historyLimit;
    this.subscription = subscription;
    this.view = viewOf(subscription);
    this.changes = new Listeners(later);
    this.events = new Listeners(later);
  }

  get watched(): boolean {
    return this.changes.size + this.events.size > 0;
  }

  /** Folds at most this many of the queued events, and notifies the listeners. */
  advance(most: number): void {
    // A position other than the last one: a snapshot replaced the plan.
    if (this.subscription.shown !== this.view.place) this.recent = [];
    const events = this.subscription.fold(most);
    const view = viewOf(this.subscription);
    const changed = !sameView(view, this.view);
    if (changed) this.view = view;
    if (events.length > 0) this.recent = [...this.recent, ...events].slice(-this.#historyLimit);
    if (events.length > 0) this.events.notify(events);
    if (changed) this.changes.notify();
  }
}

export function viewOf(subscription: Subscription): PlanView {
  const { planId, snapshot, shown: place, error } = subscription;
  const phase = phaseOf(subscription);
  return { planId, snapshot, status: snapshot?.status ?? null, place, phase, live: phase === "live", error };
}

function phaseOf({ state, live, waiting }: Subscription): PlanPhase {
  if (state === "refused") return "refused";
  if (state !== "subscribed") return "waiting";
  return live && waiting === 0 ? "live" : "catching_up";
}

function sameView(one: PlanView, other: PlanView): boolean {
  return one.snapshot === other.snapshot && one.phase === other.phase && one.error === other.error;
}
