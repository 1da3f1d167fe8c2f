/** Types of the hub's HTTP API (docs/PROTOCOL.md, section 11). */
import type { EventFrame, Place, PlanStatus, Snapshot } from "../wire/index.js";

/** A plan in a list. */
export interface PlanSummary {
  readonly plan_id: string;
  readonly status: PlanStatus;
  readonly title: string | null;
  readonly progress: number | null;
  readonly owner: string | null;
  readonly labels: readonly string[];
  readonly created_at: string;
  readonly updated_at: string;
  readonly epoch: string;
  readonly offset: number;
}

/** The filters of `client.plans()`. */
export interface PlanQuery {
  readonly owner?: string | undefined;
  readonly label?: string | undefined;
  readonly status?: PlanStatus | undefined;
  /** The `cursor` of the page before. */
  readonly cursor?: string | undefined;
  /** The page size, 1 to 500; default 50. */
  readonly limit?: number | undefined;
}

/** A page of a list of plans. */
export interface PlanPage {
  readonly plans: readonly PlanSummary[];
  /** The cursor of the next page; null on the last. */
  readonly cursor: string | null;
}

/** A kind of plan that can be started. */
export interface Template {
  readonly name: string;
  readonly title: string;
  /** A description. */
  readonly about: string;
  /** The JSON Schema of its input. */
  readonly input_schema: Readonly<Record<string, unknown>>;
}

/** The result of `client.start()`. */
export interface StartedPlan {
  readonly planId: string;
  /** The address of the plan in the hub's API. */
  readonly url: string;
}

/** A snapshot and the position it was taken at. */
export interface PlanAt {
  readonly snapshot: Snapshot;
  readonly place: Place;
}

/** The range of `client.events()`. */
export interface EventQuery {
  /** The offset of the last event seen; 0: from the first. */
  readonly after?: number;
  /** The epoch of that offset; default: the current one. */
  readonly epoch?: string;
  /** The page size, 1 to 1000; default 500. */
  readonly limit?: number;
  /** Aborts the request. */
  readonly signal?: AbortSignal;
}

/** A page of a plan's event history. */
export interface EventPage {
  readonly plan_id: string;
  readonly epoch: string;
  /** The offset of the last event of the page, from which the next page continues. */
  readonly offset: number;
  /** The offset of the newest event of the plan. */
  readonly head: number;
  readonly events: readonly EventFrame[];
}
