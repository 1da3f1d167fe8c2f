/** Requests to the hub's HTTP API; what goes wrong is a PlancastError. */
import type { Snapshot } from "../wire/index.js";
import type { PlanAt } from "./api_types.js";
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

  /** The answer, if it is a good one. Its body may take as long as it likes. */
  request(path: string, options?: HttpRequest): Promise<Response> {
    return this.read(path, options, (response) => Promise.resolve(response));
  }

  json<Body>(path: string, options?: HttpRequest): Promise<Body> {
    return this.read(path, options, (response) => response.json() as Promise<Body>);
  }

  /** What `read` makes of the answer, if it is a good one. */
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
      throw new PlancastError("network", `the hub can't be reached: ${said(error)}`);
    } finally {
      disarm?.();
      // What comes of a stream goes on, and ends with the signal.
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

/** A plan in an address. */
export function planPath(planId: string): string {
  return `/api/plans/${encodeURIComponent(planId)}`;
}

/** A plan folded up to now; null: nothing was said of it. */
export async function readPlan(http: Http, planId: string, options: HttpRequest): Promise<PlanAt | null> {
  try {
    return await http.read(planPath(planId), options, async (response) => {
      const snapshot = (await response.json()) as Snapshot;
      // Its entity tag is its place; what lies between may have called it weak.
      const epoch = /"([^:"]*):\d+"/.exec(response.headers.get("ETag") ?? "")?.[1] ?? "";
      return { snapshot, place: { epoch, offset: snapshot.offset } };
    });
  } catch (error) {
    if (error instanceof PlancastError && error.code === "no_such_plan") return null;
    throw error;
  }
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
