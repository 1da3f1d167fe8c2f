/** The part of the client that uses single HTTP requests: lists, history, starting plans. */
import { backoff } from "./core/retries.js";
import type { EventPage, EventQuery, PlanAt, PlanPage, PlanQuery, StartedPlan, Template } from "./api_types.js";
import type { Environment } from "./environment.js";
import { PlancastError } from "./errors.js";
import { type Http, type HttpRequest, planPath, readPlan } from "./http.js";
import type { TokenSource } from "./token_source.js";

/** How often a repeatable request is attempted. */
const ATTEMPTS = 4;
/** The hub responds when the whole sample was published. */
const SAMPLE_MS = 120_000;

/** A random id, unique for all practical purposes. */
export function uniqueId(random: () => number): string {
  const part = () => Math.floor(random() * 2 ** 48).toString(36);
  return `${part()}${part()}`;
}

/** The methods of a client that use single HTTP requests. All reject with a `PlancastError`. */
export interface HubApi {
  /**
   * Starts a plan from a template. Network errors are retried, without starting a second plan.
   *
   * @param template - A template's `name`; see `templates()`.
   * @param input - The template's input, as its `input_schema` describes it.
   * @param options - `planId`: the id of the new plan; generated if not given.
   * @returns The plan's id and its address in the hub's API.
   * @throws PlancastError `unknown_template`, or `invalid_field` with the `field`.
   */
  start(template: string, input?: object, options?: { readonly planId?: string | undefined }): Promise<StartedPlan>;
  /**
   * Lists plans, the last active first.
   *
   * @param query - Filters, the page size (`limit`), and the `cursor` of the page before.
   * @returns One page, with the `cursor` of the next.
   */
  plans(query?: PlanQuery): Promise<PlanPage>;
  /** Lists the templates that this hub can start. */
  templates(): Promise<readonly Template[]>;
  /**
   * Reads a plan's current snapshot, without watching it.
   *
   * @returns The snapshot and its position; null if the plan has no events.
   */
  snapshot(planId: string): Promise<PlanAt | null>;
  /**
   * Reads a page of a plan's event history.
   *
   * @param query - The position to continue `after`, its `epoch`, and the page size.
   * @throws PlancastError `continuity_lost` if the events after that position were trimmed from the log.
   */
  events(planId: string, query?: EventQuery): Promise<EventPage>;
  /** Deletes a plan and its history. */
  remove(planId: string): Promise<void>;
  /**
   * Publishes sample events to a plan. Only hubs in development mode allow it.
   *
   * @param options - `speed`: how many times faster than real time; 1 if not given.
   */
  sampleTraffic(planId: string, options?: { readonly speed?: number | undefined }): Promise<void>;
}

export function hubApi({ random, after }: Environment, http: Http, tokens: TokenSource): HubApi {
  /** Sends a request with the token; once more with a fresh one if it has expired. */
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
      // The client chooses the id, so a repeated request does not start a second plan.
      const body = { template, input, plan_id: planId };
      for (let tries = 1; ; tries++) {
        try {
          const { plan_id, url } = await json<Started>("/api/plans", { method: "POST", body });
          return { planId: plan_id, url };
        } catch (error) {
          if (!mayRepeat(error) || tries === ATTEMPTS) throw error;
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
