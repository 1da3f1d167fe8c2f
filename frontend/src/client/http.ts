/** Requests to the hub's HTTP API; what goes wrong is a PlancastError. */
import type { Environment } from "./environment.js";
import { PlancastError } from "./errors.js";

/** So long may a plain request take. */
const TIMEOUT_MS = 20_000;

export interface HttpRequest {
  readonly method?: "GET" | "POST" | "DELETE";
  readonly query?: Readonly<Record<string, string | number | readonly string[] | undefined>>;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  readonly token?: string | undefined;
  /** Ends the request early. */
  readonly signal?: AbortSignal;
  /** How long it may take; 0: until `signal`. */
  readonly timeoutMs?: number;
}

export class Http {
  readonly #environment: Environment;
  readonly #base: string;

  constructor(environment: Environment, base: string) {
    this.#environment = environment;
    this.#base = base;
  }

  /** The answer, if it is a good one. */
  async request(path: string, options: HttpRequest = {}): Promise<Response> {
    const { method = "GET", body, token, timeoutMs = TIMEOUT_MS } = options;
    const headers: Record<string, string> = { ...options.headers };
    if (body !== undefined) headers["Content-Type"] = "application/json";
    if (token) headers["Authorization"] = `Bearer ${token}`;
    const stop = new AbortController();
    const abort = () => stop.abort();
    options.signal?.addEventListener("abort", abort, { once: true });
    if (options.signal?.aborted) abort();
    const disarm = timeoutMs ? this.#environment.after(timeoutMs, abort) : undefined;
    try {
      const init: RequestInit = { method, headers, signal: stop.signal, cache: "no-store", credentials: "omit" };
      if (body !== undefined) init.body = JSON.stringify(body);
      const response = await this.#environment.fetch(this.#base + path + asQuery(options.query), init);
      if (!response.ok) throw await problemOf(response);
      return response;
    } catch (error) {
      throw error instanceof PlancastError
        ? error
        : new PlancastError("network", `the hub can't be reached: ${said(error)}`);
    } finally {
      disarm?.();
      // A stream goes on, and is ended by the signal.
      if (timeoutMs) options.signal?.removeEventListener("abort", abort);
    }
  }

  async json<Body>(path: string, options?: HttpRequest): Promise<Body> {
    const response = await this.request(path, options);
    try {
      return (await response.json()) as Body;
    } catch (error) {
      throw new PlancastError("network", `the hub's answer broke off: ${said(error)}`);
    }
  }
}

/** A plan in an address. */
export function planPath(planId: string): string {
  return `/api/plans/${encodeURIComponent(planId)}`;
}

/** The epoch of a snapshot: its entity tag is its place, which what lies between may have called weak. */
export function epochOf(response: Response): string {
  return /"([^:"]*):\d+"/.exec(response.headers.get("ETag") ?? "")?.[1] ?? "";
}

export function said(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function asQuery(query: HttpRequest["query"] = {}): string {
  const pairs = Object.entries(query).flatMap(([name, value]) =>
    value === undefined ? [] : [value].flat().map((one) => `${name}=${encodeURIComponent(String(one))}`),
  );
  return pairs.length ? `?${pairs.join("&")}` : "";
}

type Problem = Partial<Record<"code" | "detail" | "title" | "plan_id" | "by" | "at" | "field" | "reason", string>>;

async function problemOf(response: Response): Promise<PlancastError> {
  const problem = (await response.json().catch(() => ({}))) as Problem;
  const { code = `http_${response.status}`, by, at, field, reason, plan_id: planId } = problem;
  const message = problem.detail ?? problem.title ?? `the hub answered ${response.status}`;
  const seconds = Number(response.headers.get("Retry-After") ?? NaN);
  const retryAfterMs = Number.isNaN(seconds) ? undefined : seconds * 1000;
  return new PlancastError(code, message, { status: response.status, planId, by, at, field, reason, retryAfterMs });
}
