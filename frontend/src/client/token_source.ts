import type { TokenReason } from "./core/effects.js";
import type { Environment } from "./environment.js";
import { PlancastError } from "./errors.js";

/** Returns a fresh token. `reason`: `connect`, `expiring` (the current one expires soon) or `expired`. */
export type FetchToken = (why: { readonly reason: TokenReason }) => Promise<string> | string;

/** The timeout of `fetchToken`. */
const TIMEOUT_MS = 20_000;

/** The token in use, shared by the connection and the HTTP requests. It runs one fetch at a time. */
export class TokenSource {
  current: string | undefined;
  readonly #fetch: FetchToken | undefined;
  readonly #environment: Environment;
  #underWay: Promise<string> | undefined;

  constructor(environment: Environment, token: string | undefined, fetchToken: FetchToken | undefined) {
    this.#environment = environment;
    this.current = token;
    this.#fetch = fetchToken;
  }

  get fetches(): boolean {
    return this.#fetch !== undefined;
  }

  fresh(reason: TokenReason): Promise<string> {
    this.#underWay ??= this.#ask(reason).finally(() => {
      this.#underWay = undefined;
    });
    return this.#underWay;
  }

  /** The token for a request; fetches the first one. */
  async get(): Promise<string | undefined> {
    return this.fetches && this.current === undefined ? this.fresh("connect") : this.current;
  }

  async #ask(reason: TokenReason): Promise<string> {
    let disarm: (() => void) | undefined;
    const late = new Promise<never>((_, reject) => {
      const error = new PlancastError("timeout", "fetchToken timed out");
      disarm = this.#environment.after(TIMEOUT_MS, () => reject(error));
    });
    try {
      this.current = await Promise.race([this.#fetch?.({ reason }) ?? "", late]);
      return this.current;
    } finally {
      disarm?.();
    }
  }
}
