/** A plan as a page sees it. */
import type { EventFrame, Place, PlanStatus, Snapshot } from "../wire/index.js";
import type { Follower } from "./core/follower.js";
import type { PlancastError } from "./errors.js";
import { Listeners } from "./listeners.js";

export type PlanPhase =
  /** Nobody watches it, or there is no connection. */
  | "waiting"
  /** What was missed is on its way. */
  | "catching_up"
  /** Every event is here as soon as it is said. */
  | "live"
  /** It is not to be had; `error` says why. */
  | "refused";

/** How a plan is, and what is known of it. Unchanged parts keep their identity. */
export interface PlanView {
  readonly planId: string;
  /** The plan, folded from its events; null: not known yet. */
  readonly snapshot: Snapshot | null;
  /** The plan's; null: not known yet. */
  readonly status: PlanStatus | null;
  /** Of the newest event in it. */
  readonly place: Place | null;
  readonly phase: PlanPhase;
  readonly live: boolean;
  /** Why it is refused, or not here yet. */
  readonly error: PlancastError | null;
}

/** A plan to be watched. Whoever subscribes watches it; when all have left, so does the client, a little later. */
export interface PlanStore {
  readonly planId: string;
  readonly getSnapshot: () => PlanView;
  /** Calls back after each change; gives what ends that. */
  readonly subscribe: (listener: () => void) => () => void;
  /** Calls back with events as they are folded, in order, each once; gives what ends that. A snapshot may come in place of some. */
  readonly onEvents: (listener: (events: readonly EventFrame[]) => void) => () => void;
  /** The newest of the events that were folded since it is watched, oldest first, without a hole; a snapshot begins them anew. */
  readonly recent: () => readonly EventFrame[];
}

/** A plan that somebody watches. */
export class Watch {
  readonly follower: Follower;
  readonly changes: Listeners;
  readonly events: Listeners<[readonly EventFrame[]]>;
  view: PlanView;
  recent: readonly EventFrame[] = [];
  readonly #historyLimit: number;
  /** Takes back that it is let go soon. */
  keep: (() => void) | undefined;

  constructor(follower: Follower, historyLimit: number, later: (callback: () => void) => void) {
    this.#historyLimit = historyLimit;
    this.follower = follower;
    this.view = viewOf(follower);
    this.changes = new Listeners(later);
    this.events = new Listeners(later);
  }

  get watched(): boolean {
    return this.changes.size + this.events.size > 0;
  }

  /** Folds up to so many of the events that wait, and tells. */
  advance(most: number): void {
    // Another place than it was left at: a snapshot came.
    if (this.follower.shown !== this.view.place) this.recent = [];
    const events = this.follower.fold(most);
    const view = viewOf(this.follower);
    const changed = !sameView(view, this.view);
    if (changed) this.view = view;
    if (events.length > 0) this.recent = [...this.recent, ...events].slice(-this.#historyLimit);
    if (events.length > 0) this.events.tell(events);
    if (changed) this.changes.tell();
  }
}

export function viewOf(follower: Follower): PlanView {
  const { planId, snapshot, shown: place, error } = follower;
  const phase = phaseOf(follower);
  return { planId, snapshot, status: snapshot?.status ?? null, place, phase, live: phase === "live", error };
}

function phaseOf({ standing, live, waiting }: Follower): PlanPhase {
  if (standing === "refused") return "refused";
  if (standing !== "joined") return "waiting";
  return live && waiting === 0 ? "live" : "catching_up";
}

function sameView(one: PlanView, other: PlanView): boolean {
  return one.snapshot === other.snapshot && one.phase === other.phase && one.error === other.error;
}
