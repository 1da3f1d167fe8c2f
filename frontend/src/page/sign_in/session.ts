/** The user's session: the token, kept in this tab only, and whether the hub accepts it. */
import type { TokenReason } from "../../client/index.js";
import type { TabStorage } from "./tab_storage.js";

export type Access =
  /** `endsSoon`: the token in use expires soon, and there is no new one yet. */
  | { readonly state: "open"; readonly endsSoon: boolean }
  /** The token expired while the page was in use: the page stays, and waits for a new one. */
  | { readonly state: "expired" }
  | { readonly state: "closed"; readonly why: "needed" | "refused" | "expired"; readonly detail?: string };

const KEY = "plancast.token";
const ENDED = { code: "token_expired", detail: "Your sign-in has expired." };
const OPEN: Access = { state: "open", endsSoon: false };

export interface Session {
  readonly access: Access;
  readonly token: string | undefined;
  /** Counts the sign-ins: each gets a new client. */
  readonly signIns: number;
}

/** The store of the session; the page has one. */
export class SessionStore {
  readonly #storage: TabStorage;
  readonly #listeners = new Set<() => void>();
  #session: Session;
  #lastToken: string | undefined;

  constructor(storage: TabStorage) {
    this.#storage = storage;
    this.#session = { access: OPEN, token: storage.getItem(KEY) ?? undefined, signIns: 0 };
  }

  readonly getSnapshot = (): Session => this.#session;

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  /** For the client: the current token. */
  readonly fetchToken = ({ reason }: { readonly reason: TokenReason }): string => {
    const { token = "" } = this.#session;
    const fresh = token !== this.#lastToken;
    this.#lastToken = token;
    if (!fresh && reason === "expired") this.#set({ access: { state: "expired" } });
    if (!fresh && reason === "expiring") {
      if (this.#session.access.state === "open") this.#set({ access: { state: "open", endsSoon: true } });
      throw new Error("waiting for a fresh token");
    }
    return token;
  };

  /** For the client: `fetch`, but while the token is expired, requests fail without reaching the hub. */
  readonly fetch: typeof fetch = (address, init) =>
    this.#session.access.state === "expired"
      ? Promise.resolve(Response.json(ENDED, { status: 401 }))
      : globalThis.fetch(address, init);

  /** A user signs in. */
  signIn(token: string): void {
    this.#keep(token);
    this.#set({ access: OPEN, token, signIns: this.#session.signIns + 1 });
  }

  /** The same user continues with a fresh token. */
  renew(token: string): void {
    this.#keep(token);
    this.#set({ access: OPEN, token });
  }

  /** The hub refused the token; `expired`: because it has expired. */
  refuse(expired: boolean, detail: string): void {
    const { access, token } = this.#session;
    if (access.state === "closed") return;
    this.#storage.removeItem(KEY);
    const why = token === undefined ? "needed" : expired ? "expired" : "refused";
    this.#set({ access: { state: "closed", why, detail }, token: undefined });
  }

  /** The token expired during a connection. */
  expire(): void {
    if (this.#session.access.state === "open") this.#set({ access: { state: "expired" } });
  }

  signOut(): void {
    this.#storage.removeItem(KEY);
    this.#set({ access: { state: "closed", why: "needed" }, token: undefined, signIns: this.#session.signIns + 1 });
  }

  #keep(token: string): void {
    this.#storage.setItem(KEY, token);
  }

  #set(news: Partial<Session>): void {
    this.#session = { ...this.#session, ...news };
    for (const listener of [...this.#listeners]) listener();
  }
}
