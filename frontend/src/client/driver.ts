/** Performs the effects of a session: connections, timers, tokens, and notifying the page. The session makes all decisions. */
import type { Effect } from "./core/effects.js";
import type { Outcome, RequestFrame } from "./core/requests.js";
import type { Transport } from "./core/connection.js";
import { BROKEN } from "./core/codes.js";
import { Session } from "./core/session.js";
import type { Environment } from "./environment.js";
import { PlancastError } from "./errors.js";
import { type Http, messageOf } from "./http.js";
import type { Link, LinkOptions } from "./links/link.js";
import { Listeners } from "./listeners.js";
import { Watch } from "./plan_store.js";
import type { TokenSource } from "./token_source.js";

/** The least time between two notifications of the page: one rendered frame. */
const FRAME_MS = 16;
/** How long folding may block the page at a time. */
const FOLD_MS = 8;
const FOLD_BATCH = 256;
/** From this many queued events on, they are folded at once. */
const MAX_QUEUED = 1_024;
const PROBE_MS = 5_000;
const REQUEST_MS = 60_000;

/** Opens a link of one transport. */
export type OpenLink = (options: LinkOptions) => Link;

export interface DriverOptions {
  readonly environment: Environment;
  readonly http: Http;
  readonly tokens: TokenSource;
  readonly base: string;
  readonly transports: readonly Transport[];
  readonly openers: Readonly<Record<Transport, OpenLink>>;
  readonly lingerMs: number;
  readonly historyLimit: number;
}

type Settle = (outcome: Outcome) => void;

export class Driver {
  readonly session: Session;
  readonly connectionChanges: Listeners;
  readonly #options: DriverOptions;
  readonly #environment: Environment;
  readonly #watches = new Map<string, Watch>();
  readonly #links = new Map<number, Link>();
  readonly #settles = new Map<number, Settle>();
  readonly #changed = new Set<string>();
  #effects: Effect[] = [];
  #running = false;
  #requests = 0;
  #flushed = -Infinity;
  #flushing = false;
  #timer: { readonly due: number; readonly stop: () => void } | undefined;
  #stopWatching: (() => void) | undefined;

  constructor(options: DriverOptions) {
    const { environment, transports, tokens } = options;
    this.#options = options;
    this.#environment = environment;
    this.session = new Session({
      transports,
      token: tokens.current,
      fetches: tokens.fetches,
      random: environment.random,
    });
    this.connectionChanges = new Listeners((callback) => void environment.after(0, callback));
  }

  // -- for the page

  watchOf(planId: string): Watch | undefined {
    return this.#watches.get(planId);
  }

  /** Watches a plan until the returned function is called. */
  watch(planId: string, listen: (watch: Watch) => () => void): () => void {
    const watch = this.#watches.get(planId) ?? this.#begin(planId);
    watch.cancelEnd?.();
    watch.cancelEnd = undefined;
    const stop = listen(watch);
    return () => {
      stop();
      if (watch.watched || watch.cancelEnd || this.#watches.get(planId) !== watch) return;
      watch.cancelEnd = this.#environment.after(this.#options.lingerMs, () => this.#end(planId));
    };
  }

  request(frame: RequestFrame): Promise<Outcome> {
    const id = ++this.#requests;
    return new Promise((resolve, reject) => {
      this.#settles.set(id, (outcome) => (outcome.error ? reject(outcome.error) : resolve(outcome)));
      this.run((session, now) => session.request(id, frame, now, REQUEST_MS));
    });
  }

  /** Calls the session, and performs the resulting effects. */
  run(step: (session: Session, now: number) => readonly Effect[]): void {
    this.#effects.push(...step(this.session, this.#environment.now()));
    if (this.#running) return; // the running call performs these, too
    this.#running = true;
    try {
      for (let effect = this.#effects.shift(); effect; effect = this.#effects.shift()) this.#do(effect);
    } finally {
      this.#running = false;
    }
    this.#watchPage();
    this.#setTimer();
  }

  // -- plans

  #begin(planId: string): Watch {
    this.run((session, now) => session.follow(planId, now));
    const subscription = this.session.subscriptions.begin(planId);
    const watch = new Watch(
      subscription,
      this.#options.historyLimit,
      (callback) => void this.#environment.after(0, callback),
    );
    this.#watches.set(planId, watch);
    return watch;
  }

  #end(planId: string): void {
    this.#watches.delete(planId);
    this.#changed.delete(planId);
    this.run((session, now) => session.leave(planId, now));
  }

  #planChanged(planId: string): void {
    const watch = this.#watches.get(planId);
    if (!watch) return;
    const { waiting, state } = watch.subscription;
    // A lost connection is shown at once, together with all events received over it.
    const atOnce = waiting === 0 || waiting >= MAX_QUEUED || state !== "subscribed";
    if (atOnce) {
      watch.advance(waiting);
      return;
    }
    this.#changed.add(planId);
    if (this.#flushing) return;
    this.#flushing = true;
    const wait = this.#flushed + FRAME_MS - this.#environment.now();
    if (wait > 0) this.#environment.after(wait, () => this.#flush());
    else void Promise.resolve().then(() => this.#flush());
  }

  /** Folds and notifies for a limited time, and schedules the rest. */
  #flush(): void {
    const { now, after } = this.#environment;
    const until = now() + FOLD_MS;
    for (const planId of this.#changed) {
      const watch = this.#watches.get(planId);
      do watch?.advance(FOLD_BATCH);
      while (watch?.subscription.waiting && now() < until);
      if (!watch?.subscription.waiting) this.#changed.delete(planId);
      if (now() >= until) break;
    }
    this.#flushed = now();
    this.#flushing = this.#changed.size > 0;
    if (this.#flushing) after(0, () => this.#flush());
  }

  // -- effects

  #do(effect: Effect): void {
    switch (effect.do) {
      case "open":
        this.#open(effect.link, effect.transport, effect.token);
        break;
      case "send":
        this.#links.get(effect.link)?.send(effect.frame);
        break;
      case "close":
        this.#links.get(effect.link)?.close(effect.code, effect.reason);
        this.#links.delete(effect.link);
        break;
      case "fetch_token":
        this.#options.tokens.fresh(effect.reason).then(
          (token) => this.run((session, now) => session.token(token, now)),
          (error: unknown) => this.run((session, now) => session.tokenFailed(messageOf(error), now)),
        );
        break;
      case "probe_hub":
        void this.#probeHub();
        break;
      case "settle":
        this.#settles.get(effect.outcome.id)?.(effect.outcome);
        this.#settles.delete(effect.outcome.id);
        break;
      case "plan_changed":
        this.#planChanged(effect.planId);
        break;
      case "connection_changed":
        this.connectionChanges.notify();
    }
  }

  #open(id: number, transport: Transport, token: string | undefined): void {
    const { environment, http, base, openers } = this.#options;
    const known = () => this.#links.has(id);
    const closed = (code: number, reason: string, hintMs?: number) => {
      this.#links.delete(id);
      this.run((session, now) => session.closed(id, code, reason, hintMs, now));
    };
    const listener: LinkOptions["listener"] = {
      frame: (frame) => known() && this.run((session, now) => session.frame(id, frame, now)),
      received: () => known() && this.run((session, now) => session.frame(id, null, now)),
      closed: (code, reason, hintMs) => known() && closed(code, reason, hintMs),
    };
    try {
      this.#links.set(id, openers[transport]({ environment, http, base, token, listener }));
    } catch (error) {
      closed(BROKEN, messageOf(error));
    }
  }

  async #probeHub(): Promise<void> {
    const found = await this.#options.http.request("/healthz", { timeoutMs: PROBE_MS }).then(
      () => true,
      // An error response also proves that the hub is reachable.
      (error: unknown) => error instanceof PlancastError && error.status !== undefined && error.status < 500,
    );
    this.run((session, now) => session.hubFound(found, now));
  }

  // -- timers and page state

  #setTimer(): void {
    const due = this.session.due();
    // A timer that fires early does nothing, which is cheaper than resetting it with every frame.
    if (this.#timer && this.#timer.due <= due && due < Infinity) return;
    this.#timer?.stop();
    this.#timer = undefined;
    if (due === Infinity) return;
    const stop = this.#environment.after(Math.max(0, due - this.#environment.now()), () => {
      this.#timer = undefined;
      this.run((session, now) => session.tick(now));
    });
    this.#timer = { due, stop };
  }

  /** Listens to page and network events while a connection is needed. */
  #watchPage(): void {
    const { status } = this.session.connection;
    const needed = status !== "closed" && (status !== "idle" || this.#watches.size > 0 || this.#settles.size > 0);
    if (needed === (this.#stopWatching !== undefined)) return;
    this.#stopWatching?.();
    this.#stopWatching = needed ? this.#environment.watch(() => this.#pageChanged(true)) : undefined;
    if (needed) this.#pageChanged(false);
  }

  #pageChanged(woken: boolean): void {
    const { isVisible, isOnline } = this.#environment;
    this.run((session, now) => session.pageChanged(isVisible(), isOnline(), woken, now));
  }
}
