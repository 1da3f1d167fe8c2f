/** Who is there: a token that somebody pasted, kept in this tab only, and whether the hub still takes it. */
import type { TokenReason } from "../../client/index.js";
import type { TabStorage } from "./tab_storage.js";

export type Door =
  /** `endsSoon`: the token in use ends soon, and there is no other yet. */
  | { readonly state: "open"; readonly endsSoon: boolean }
  /** The token ended while the page was in use: what is shown stays, and waits for another. */
  | { readonly state: "expired" }
  | { readonly state: "closed"; readonly why: "needed" | "refused" | "expired"; readonly detail?: string };

const KEY = "plancast.token";
const ENDED = { code: "token_expired", detail: "Your sign-in has ended." };
const OPEN: Door = { state: "open", endsSoon: false };

export interface Session {
  readonly door: Door;
  readonly token: string | undefined;
  /** Counts who came in: another visit is another client. */
  readonly visit: number;
}

/** Made once, by the page. */
export class SessionStore {
  readonly #storage: TabStorage;
  readonly #listeners = new Set<() => void>();
  #session: Session;
  #given: string | undefined;

  constructor(storage: TabStorage) {
    this.#storage = storage;
    this.#session = { door: OPEN, token: storage.getItem(KEY) ?? undefined, visit: 0 };
  }

  readonly getSnapshot = (): Session => this.#session;

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  /** For the client: the token to be used now. */
  readonly fetchToken = ({ reason }: { readonly reason: TokenReason }): string => {
    const { token = "" } = this.#session;
    const fresh = token !== this.#given;
    this.#given = token;
    if (!fresh && reason === "expired") this.#set({ door: { state: "expired" } });
    if (!fresh && reason === "expiring") {
      if (this.#session.door.state === "open") this.#set({ door: { state: "open", endsSoon: true } });
      throw new Error("nobody has pasted a fresh token yet");
    }
    return token;
  };

  /** For the client: while the token in use has ended, it is known here what the hub would answer. */
  readonly fetch: typeof fetch = (address, init) =>
    this.#session.door.state === "expired"
      ? Promise.resolve(Response.json(ENDED, { status: 401 }))
      : globalThis.fetch(address, init);

  /** Somebody comes in. */
  enter(token: string): void {
    this.#keep(token);
    this.#set({ door: OPEN, token, visit: this.#session.visit + 1 });
  }

  /** The same person goes on, with a fresh token. */
  renew(token: string): void {
    this.#keep(token);
    this.#set({ door: OPEN, token });
  }

  /** The hub refused. Whether that was a token that ended, `expired` says. */
  refuse(expired: boolean, detail: string): void {
    const { door, token } = this.#session;
    if (door.state === "closed") return;
    this.#storage.removeItem(KEY);
    const why = token === undefined ? "needed" : expired ? "expired" : "refused";
    this.#set({ door: { state: "closed", why, detail }, token: undefined });
  }

  /** The token ended, and the hub will not listen until there is another. */
  expire(): void {
    if (this.#session.door.state === "open") this.#set({ door: { state: "expired" } });
  }

  leave(): void {
    this.#storage.removeItem(KEY);
    this.#set({ door: { state: "closed", why: "needed" }, token: undefined, visit: this.#session.visit + 1 });
  }

  #keep(token: string): void {
    this.#storage.setItem(KEY, token);
  }

  #set(news: Partial<Session>): void {
    this.#session = { ...this.#session, ...news };
    for (const listener of [...this.#listeners]) listener();
  }
}
