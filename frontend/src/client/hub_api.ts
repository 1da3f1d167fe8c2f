/** What is asked of a hub by single requests: lists, the past, starting plans. */
import { backoff } from "./core/backoff.js";
import type { EventPage, EventQuery, PlanAt, PlanPage, PlanQuery, StartedPlan, Template } from "./api_types.js";
import type { Environment } from "./environment.js";
import { PlancastError } from "./errors.js";
import { type Http, type HttpRequest, planPath, readPlan } from "./http.js";
import type { TokenSource } from "./token_source.js";

/** What may be repeated is tried so often. */
const TRIES = 4;
/** The answer comes when all of the sample was said. */
const SAMPLE_MS = 120_000;

/** A name that nobody else has. */
export function uniqueId(random: () => number): string {
  const part = () => Math.floor(random() * 2 ** 48).toString(36);
  return `${part()}${part()}`;
}

/** What a hub is asked over HTTP. */
export interface HubApi {
  /** Starts a plan. Without a plan id, one is made up. */
  start(template: string, input?: object, options?: { readonly planId?: string | undefined }): Promise<StartedPlan>;
  /** A page of the plans there are, the last active first. */
  plans(query?: PlanQuery): Promise<PlanPage>;
  /** What can be started. */
  templates(): Promise<readonly Template[]>;
  /** A plan folded up to now, without watching it; null: nothing was said of it. */
  snapshot(planId: string): Promise<PlanAt | null>;
  /** A page of a plan's past. */
  events(planId: string, query?: EventQuery): Promise<EventPage>;
  /** Forgets a plan. */
  remove(planId: string): Promise<void>;
  /** Has a hub in development say its sample about the plan. */
  sampleTraffic(planId: string, options?: { readonly speed?: number | undefined }): Promise<void>;
}

export function hubApi({ random, after }: Environment, http: Http, tokens: TokenSource): HubApi {
  /** With a token, and once more with a fresh one if its time is over. */
  async function ask<Answer>(request: (token: string | undefined) => Promise<Answer>): Promise<Answer> {
    try {
      return await request(await tokens.get());
    } catch (error) {
      const expired = error instanceof PlancastError && error.code === "token_expired";
      if (!expired || !tokens.fetches) throw error;
      return request(await tokens.fresh("expired"));
    }
  }
  const json = <Body>(path: string, options: HttpRequest = {}) =>
    ask((token) => http.json<Body>(path, { ...options, token }));
  async function plain(path: string, options: HttpRequest): Promise<void> {
    await ask((token) => http.request(path, { ...options, token }));
  }

  return {
    async start(template, input = {}, { planId = `plan-${uniqueId(random)}` } = {}) {
      // The plan has its id from here, so that asking once more starts nothing more.
      const body = { template, input, plan_id: planId };
      for (let tries = 1; ; tries++) {
        try {
          const { plan_id, url } = await json<Started>("/api/plans", { method: "POST", body });
          return { planId: plan_id, url };
        } catch (error) {
          if (!mayRepeat(error) || tries === TRIES) throw error;
          await new Promise<void>((resolve) => after(backoff(tries - 1, random), resolve));
        }
      }
    },
    plans: (query = {}) => json("/api/plans", { query: { ...query } }),
    templates: () => json("/api/templates"),
    snapshot: (planId) => ask((token) => readPlan(http, planId, { token })),
    events: (planId, { signal, ...query } = {}) =>
      json(`${planPath(planId)}/events`, signal ? { query, signal } : { query }),
    remove: (planId) => plain(planPath(planId), { method: "DELETE" }),
    sampleTraffic: (planId, { speed = 1 } = {}) =>
      plain(`/api/test/streaming/${encodeURIComponent(planId)}`, {
        method: "POST",
        query: { speed },
        timeoutMs: SAMPLE_MS,
      }),
  };
}

interface Started {
  readonly plan_id: string;
  readonly url: string;
}

function mayRepeat(error: unknown): boolean {
  return error instanceof PlancastError && (error.code === "network" || error.code === "unavailable");
}
