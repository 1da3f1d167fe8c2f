/** What the hub's HTTP API gives and takes (docs/PROTOCOL.md, section 11). */
import type { EventFrame, Place, PlanStatus, Snapshot } from "../wire/index.js";

/** A plan as a list shows it. */
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

export interface PlanQuery {
  readonly owner?: string | undefined;
  readonly label?: string | undefined;
  readonly status?: PlanStatus | undefined;
  /** That of the page before. */
  readonly cursor?: string | undefined;
  /** 1 to 500; without a word 50. */
  readonly limit?: number | undefined;
}

export interface PlanPage {
  readonly plans: readonly PlanSummary[];
  /** Asks for those that follow; null: there are none. */
  readonly cursor: string | null;
}

/** Something that can be started. */
export interface Template {
  readonly name: string;
  readonly title: string;
  readonly about: string;
  /** A JSON Schema of its input. */
  readonly input_schema: Readonly<Record<string, unknown>>;
}

export interface StartedPlan {
  readonly planId: string;
  readonly url: string;
}

export interface PlanAt {
  readonly snapshot: Snapshot;
  readonly place: Place;
}

export interface EventQuery {
  /** The offset of the last event seen; 0: from the first. */
  readonly after?: number;
  /** Its epoch; without a word, the current one. */
  readonly epoch?: string;
  /** 1 to 1000; without a word 500. */
  readonly limit?: number;
  readonly signal?: AbortSignal;
}

/** A piece of a plan's past, and the place after it. */
export interface EventPage {
  readonly plan_id: string;
  readonly epoch: string;
  readonly offset: number;
  readonly head: number;
  readonly events: readonly EventFrame[];
}
