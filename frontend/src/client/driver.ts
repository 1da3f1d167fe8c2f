/** Does what a session wants done: lines, timers, tokens, and telling the page. All decisions are the session's. */
import type { Effect } from "./core/effects.js";
import type { Outcome, RequestFrame } from "./core/requests.js";
import type { Transport } from "./core/connection.js";
import { BROKEN } from "./core/codes.js";
import { Session } from "./core/session.js";
import type { Environment } from "./environment.js";
import { PlancastError } from "./errors.js";
import { type Http, said } from "./http.js";
import type { Line, LineOptions } from "./lines/line.js";
import { Listeners } from "./listeners.js";
import { Watch } from "./plan_store.js";
import type { TokenSource } from "./token_source.js";

/** The page is told of changes no more often than it is drawn. */
const FRAME_MS = 16;
/** So long may it take to fold, before the page gets its turn. */
const FOLD_MS = 8;
const FOLD_AT_ONCE = 256;
/** More than so many events don't wait: they are folded at once. */
const WAITING_AT_MOST = 1_024;
const LOOK_MS = 5_000;
const ASK_MS = 60_000;

export type OpenLine = (options: LineOptions) => Line;

export interface DriverOptions {
  readonly environment: Environment;
  readonly http: Http;
  readonly tokens: TokenSource;
  readonly base: string;
  readonly transports: readonly Transport[];
  readonly openers: Readonly<Record<Transport, OpenLine>>;
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
  readonly #lines = new Map<number, Line>();
  readonly #settles = new Map<number, Settle>();
  readonly #changed = new Set<string>();
  #effects: Effect[] = [];
  #running = false;
  #asked = 0;
  #flushed = -Infinity;
  #flushing = false;
  #timer: { readonly due: number; readonly stop: () => void } | undefined;
  #leaveWorld: (() => void) | undefined;

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

  /** Watches a plan until what this gives is called. */
  watch(planId: string, listen: (watch: Watch) => () => void): () => void {
    const watch = this.#watches.get(planId) ?? this.#begin(planId);
    watch.keep?.();
    watch.keep = undefined;
    const stop = listen(watch);
    return () => {
      stop();
      if (watch.watched || watch.keep || this.#watches.get(planId) !== watch) return;
      watch.keep = this.#environment.after(this.#options.lingerMs, () => this.#end(planId));
    };
  }

  ask(frame: RequestFrame): Promise<Outcome> {
    const id = ++this.#asked;
    return new Promise((resolve, reject) => {
      this.#settles.set(id, (outcome) => (outcome.error ? reject(outcome.error) : resolve(outcome)));
      this.run((session, now) => session.ask(id, frame, now, ASK_MS));
    });
  }

  /** Takes a step of the session, and does what comes of it. */
  run(step: (session: Session, now: number) => readonly Effect[]): void {
    this.#effects.push(...step(this.session, this.#environment.now()));
    if (this.#running) return; // whoever runs goes on with these
    this.#running = true;
    try {
      for (let effect = this.#effects.shift(); effect; effect = this.#effects.shift()) this.#do(effect);
    } finally {
      this.#running = false;
    }
    this.#meetWorld();
    this.#setTimer();
  }

  // -- plans

  #begin(planId: string): Watch {
    this.run((session, now) => session.follow(planId, now));
    const follower = this.session.watching.begin(planId);
    const watch = new Watch(
      follower,
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
    const { waiting, standing } = watch.follower;
    // A line that broke is shown at once, and with it all that came over it.
    const atOnce = waiting === 0 || waiting >= WAITING_AT_MOST || standing !== "joined";
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

  /** Folds and tells, for a moment; what is left has its turn later. */
  #flush(): void {
    const { now, after } = this.#environment;
    const until = now() + FOLD_MS;
    for (const planId of this.#changed) {
      const watch = this.#watches.get(planId);
      do watch?.advance(FOLD_AT_ONCE);
      while (watch?.follower.waiting && now() < until);
      if (!watch?.follower.waiting) this.#changed.delete(planId);
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
        this.#open(effect.line, effect.transport, effect.token);
        break;
      case "send":
        this.#lines.get(effect.line)?.send(effect.frame);
        break;
      case "close":
        this.#lines.get(effect.line)?.close(effect.code, effect.reason);
        this.#lines.delete(effect.line);
        break;
      case "fetch_token":
        this.#options.tokens.fresh(effect.reason).then(
          (token) => this.run((session, now) => session.token(token, now)),
          (error: unknown) => this.run((session, now) => session.tokenFailed(said(error), now)),
        );
        break;
      case "look_for_hub":
        void this.#look();
        break;
      case "settle":
        this.#settles.get(effect.outcome.id)?.(effect.outcome);
        this.#settles.delete(effect.outcome.id);
        break;
      case "plan_changed":
        this.#planChanged(effect.planId);
        break;
      case "connection_changed":
        this.connectionChanges.tell();
    }
  }

  #open(id: number, transport: Transport, token: string | undefined): void {
    const { environment, http, base, openers } = this.#options;
    const known = () => this.#lines.has(id);
    const closed = (code: number, reason: string, hintMs?: number) => {
      this.#lines.delete(id);
      this.run((session, now) => session.closed(id, code, reason, hintMs, now));
    };
    const listener: LineOptions["listener"] = {
      frame: (frame) => known() && this.run((session, now) => session.frame(id, frame, now)),
      heard: () => known() && this.run((session, now) => session.frame(id, null, now)),
      closed: (code, reason, hintMs) => known() && closed(code, reason, hintMs),
    };
    try {
      this.#lines.set(id, openers[transport]({ environment, http, base, token, listener }));
    } catch (error) {
      closed(BROKEN, said(error));
    }
  }

  async #look(): Promise<void> {
    const found = await this.#options.http.request("/healthz", { timeoutMs: LOOK_MS }).then(
      () => true,
      // Even a refusal is a word of the hub's.
      (error: unknown) => error instanceof PlancastError && error.status !== undefined && error.status < 500,
    );
    this.run((session, now) => session.hubFound(found, now));
  }

  // -- time and the world

  #setTimer(): void {
    const due = this.session.due();
    // One that comes too early finds nothing to do, and costs less than to be set anew with each frame.
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

  /** The world is watched for as long as there is something to connect for. */
  #meetWorld(): void {
    const { status } = this.session.connection;
    const needed = status !== "closed" && (status !== "idle" || this.#watches.size > 0 || this.#settles.size > 0);
    if (needed === (this.#leaveWorld !== undefined)) return;
    this.#leaveWorld?.();
    this.#leaveWorld = needed ? this.#environment.watch(() => this.#lookAround(true)) : undefined;
    if (needed) this.#lookAround(false);
  }

  #lookAround(woken: boolean): void {
    const { isVisible, isOnline } = this.#environment;
    this.run((session, now) => session.world(isVisible(), isOnline(), woken, now));
  }
}
