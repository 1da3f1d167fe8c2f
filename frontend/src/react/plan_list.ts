/** A list of plans that is asked for again every so often, as long as somebody looks. */
import type { Client, PlancastError, PlanQuery, PlanSummary } from "../client/index.js";

const PAGE = 50;
/** A list that is looked at grows no longer than one answer may be. */
const MOST = 500;

export interface PlanListView {
  readonly plans: readonly PlanSummary[];
  /** Nothing is known yet, or more is on its way. */
  readonly loading: boolean;
  /** Why the last question had no answer. */
  readonly error: PlancastError | null;
  readonly hasMore: boolean;
}

export class PlanList {
  readonly #client: Client;
  readonly #query: PlanQuery;
  readonly #refreshMs: number;
  readonly #listeners = new Set<() => void>();
  #view: PlanListView = { plans: [], loading: true, error: null, hasMore: false };
  #wanted: number;
  #asked = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(client: Client, query: PlanQuery, refreshMs: number) {
    this.#client = client;
    this.#query = query;
    this.#refreshMs = refreshMs;
    this.#wanted = query.limit ?? PAGE;
  }

  readonly getSnapshot = () => this.#view;

  /** Each caller's listener is its own. */
  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    if (this.#listeners.size === 1) {
      document.addEventListener("visibilitychange", this.refresh);
      this.refresh();
    }
    return () => {
      this.#listeners.delete(listener);
      if (this.#listeners.size > 0) return;
      document.removeEventListener("visibilitychange", this.refresh);
      clearTimeout(this.#timer);
    };
  };

  readonly loadMore = (): void => {
    if (!this.#view.hasMore) return;
    this.#wanted = Math.min(MOST, this.#wanted + (this.#query.limit ?? PAGE));
    this.#show({ loading: true });
    this.refresh();
  };

  readonly refresh = (): void => {
    if (document.visibilityState !== "hidden") void this.#ask();
  };

  async #ask(): Promise<void> {
    clearTimeout(this.#timer);
    const asked = ++this.#asked;
    const news = await this.#client.plans({ ...this.#query, limit: this.#wanted }).then(
      ({ plans, cursor }) => ({
        plans: this.#shared(plans),
        hasMore: cursor !== null && this.#wanted < MOST,
        error: null,
      }),
      (error: unknown) => ({ error: error as PlancastError }),
    );
    if (asked !== this.#asked) return; // it was asked again since
    this.#show({ ...news, loading: false });
    if (this.#listeners.size > 0) this.#timer = setTimeout(this.refresh, this.#refreshMs);
  }

  /** What didn't change keeps its identity: of a plan, its place says that. */
  #shared(plans: readonly PlanSummary[]): readonly PlanSummary[] {
    const known = new Map(this.#view.plans.map((plan) => [plan.plan_id, plan]));
    const shared = plans.map((plan) => {
      const old = known.get(plan.plan_id);
      return old?.offset === plan.offset && old.epoch === plan.epoch ? old : plan;
    });
    const same = shared.length === this.#view.plans.length && shared.every((plan, at) => plan === this.#view.plans[at]);
    return same ? this.#view.plans : shared;
  }

  #show(news: Partial<PlanListView>): void {
    const view = { ...this.#view, ...news };
    const names = Object.keys(view) as (keyof PlanListView)[];
    if (names.every((name) => view[name] === this.#view[name])) return;
    this.#view = view;
    for (const listener of [...this.#listeners]) listener();
  }
}
