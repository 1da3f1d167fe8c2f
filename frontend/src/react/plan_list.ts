/** A list of plans, refreshed at intervals while it has listeners and the page is visible. */
import type { Client, PlancastError, PlanQuery, PlanSummary } from "../client/index.js";

const PAGE = 50;
/** The largest page that the hub returns. */
const MAX_PAGE = 500;

/** The state of a list of plans. */
export interface PlanListView {
  readonly plans: readonly PlanSummary[];
  /** Whether the first page or more plans are being loaded. */
  readonly loading: boolean;
  /** Why the last request failed. */
  readonly error: PlancastError | null;
  /** Whether `loadMore` would load more plans. */
  readonly hasMore: boolean;
}

export class PlanList {
  readonly #client: Client;
  readonly #query: PlanQuery;
  readonly #refreshMs: number;
  readonly #listeners = new Set<() => void>();
  #view: PlanListView = { plans: [], loading: true, error: null, hasMore: false };
  #wanted: number;
  #requests = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(client: Client, query: PlanQuery, refreshMs: number) {
    this.#client = client;
    this.#query = query;
    this.#refreshMs = refreshMs;
    this.#wanted = query.limit ?? PAGE;
  }

  readonly getSnapshot = () => this.#view;

  /** Subscribing starts the refreshing; it stops with the last listener. */
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
    this.#wanted = Math.min(MAX_PAGE, this.#wanted + (this.#query.limit ?? PAGE));
    this.#show({ loading: true });
    this.refresh();
  };

  readonly refresh = (): void => {
    if (document.visibilityState !== "hidden") void this.#load();
  };

  async #load(): Promise<void> {
    clearTimeout(this.#timer);
    const request = ++this.#requests;
    const news = await this.#client.plans({ ...this.#query, limit: this.#wanted }).then(
      ({ plans, cursor }) => ({
        plans: this.#shared(plans),
        hasMore: cursor !== null && this.#wanted < MAX_PAGE,
        error: null,
      }),
      (error: unknown) => ({ error: error as PlancastError }),
    );
    if (request !== this.#requests) return; // a newer request was made since
    this.#show({ ...news, loading: false });
    if (this.#listeners.size > 0) this.#timer = setTimeout(this.refresh, this.#refreshMs);
  }

  /** Keeps the identity of plans whose position did not change. */
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
