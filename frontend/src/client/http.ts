/** Requests to the hub's HTTP API; failures are `PlancastError`s. */
import type { Snapshot } from "../wire/index.js";
import type { PlanAt } from "./api_types.js";
import type { Environment } from "./environment.js";
import { PlancastError } from "./errors.js";

/** The default timeout of a request. */
const TIMEOUT_MS = 20_000;

export interface HttpRequest {
  readonly method?: "GET" | "POST" | "DELETE";
  readonly query?: Readonly<Record<string, string | number | readonly string[] | undefined>>;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  readonly token?: string | undefined;
  /** Aborts the request. */
  readonly signal?: AbortSignal;
  /** The timeout; 0: none, until `signal` aborts. */
  readonly timeoutMs?: number;
}

export class Http {
  readonly #environment: Environment;
  readonly #base: string;

  constructor(environment: Environment, base: string) {
    this.#environment = environment;
    this.#base = base;
  }

  /** The response, if its status is 2xx. Reading its body has no timeout. */
  request(path: string, options?: HttpRequest): Promise<Response> {
    return this.read(path, options, (response) => Promise.resolve(response));
  }

  json<Body>(path: string, options?: HttpRequest): Promise<Body> {
    return this.read(path, options, (response) => response.json() as Promise<Body>);
  }

  /** The result of `read` on the response, if its status is 2xx. */
  async read<Body>(
    path: string,
    options: HttpRequest = {},
    read: (response: Response) => Promise<Body>,
  ): Promise<Body> {
    const { timeoutMs = TIMEOUT_MS, signal } = options;
    const stop = new AbortController();
    const abort = () => stop.abort();
    if (signal?.aborted) abort();
    signal?.addEventListener("abort", abort, { once: true });
    const disarm = timeoutMs ? this.#environment.after(timeoutMs, abort) : undefined;
    try {
      const address = this.#base + path + asQuery(options.query);
      const response = await this.#environment.fetch(address, initOf(options, stop.signal));
      if (!response.ok) throw await problemOf(response);
      return await read(response);
    } catch (error) {
      if (error instanceof PlancastError) throw error;
      throw new PlancastError("network", `cannot reach the hub: ${messageOf(error)}`);
    } finally {
      disarm?.();
      // A stream stays open after this, until the signal aborts it.
      if (timeoutMs) signal?.removeEventListener("abort", abort);
    }
  }
}

function initOf({ method = "GET", body, token, headers: more }: HttpRequest, signal: AbortSignal): RequestInit {
  const headers: Record<string, string> = { ...more };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (token) headers["Authorization"] = `Bearer ${token}`;
  const init: RequestInit = { method, headers, signal, cache: "no-store", credentials: "omit" };
  return body === undefined ? init : { ...init, body: JSON.stringify(body) };
}

/** The path of a plan in the API. */
export function planPath(planId: string): string {
  return `/api/plans/${encodeURIComponent(planId)}`;
}

/** The current snapshot of a plan; null if it has no events. */
export async function readPlan(http: Http, planId: string, options: HttpRequest): Promise<PlanAt | null> {
  try {
    return await http.read(planPath(planId), options, async (response) => {
      const snapshot = (await response.json()) as Snapshot;
      // The entity tag is its position; a proxy may have made it weak.
      const epoch = /"([^:"]*):\d+"/.exec(response.headers.get("ETag") ?? "")?.[1] ?? "";
      return { snapshot, place: { epoch, offset: snapshot.offset } };
    });
  } catch (error) {
    if (error instanceof PlancastError && error.code === "no_such_plan") return null;
    throw error;
  }
}

/** The message of anything that was thrown. */
export function messageOf(error: unknown): string {
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
