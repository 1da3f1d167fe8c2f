/** Test bench for a session: time is a number, and its effects are recorded. */
import type { Effect } from "../../../src/client/core/effects.js";
import { Session, type SessionOptions } from "../../../src/client/core/session.js";
import type { ClientFrame, Place } from "../../../src/client/index.js";
import { emptySnapshot } from "../../../src/client/index.js";
import type { ServerFrame } from "../../../src/client/links/link.js";

export class Bench {
  readonly session: Session;
  now = 0;
  /** The effects since the last `take`. */
  #effects: Effect[] = [];
  link = 0;

  constructor(options: Partial<SessionOptions> = {}) {
    const usual = { transports: ["websocket", "sse", "polling"], fetches: false, random: () => 0 } as const;
    this.session = new Session({ ...usual, ...options });
  }

  do(step: (session: Session, now: number) => Effect[]): this {
    const effects = step(this.session, this.now);
    for (const effect of effects) if (effect.do === "open") this.link = effect.link;
    this.#effects.push(...effects);
    return this;
  }

  take(): Effect[] {
    return this.#effects.splice(0);
  }

  /** The names of the effects, without sends and notifications. */
  effects(): string[] {
    const ignored = ["plan_changed", "connection_changed", "send"];
    return this.take()
      .map((effect) => effect.do)
      .filter((name) => !ignored.includes(name));
  }

  /** The frames sent since the last call. */
  sent(): ClientFrame[] {
    return this.take().flatMap((effect) => (effect.do === "send" ? [effect.frame] : []));
  }

  receive(frame: ServerFrame | null, link = this.link): this {
    return this.do((session, now) => session.frame(link, frame, now));
  }

  /** Advances the time, and fires the timers that are due. */
  pass(ms: number): this {
    const until = this.now + ms;
    for (let due = this.session.due(); due <= until; due = this.session.due()) {
      this.now = Math.max(this.now, due);
      this.do((session, now) => session.tick(now));
    }
    this.now = until;
    return this;
  }

  follow(planId = "p"): this {
    return this.do((session, now) => session.follow(planId, now));
  }

  connected(more: object = {}): this {
    const server_time = new Date(this.now).toISOString();
    return this.receive({ type: "connected", connection_id: "c", protocol: 1, heartbeat_s: 25, server_time, ...more });
  }

  /** Confirms all pending subscriptions, at this position. */
  subscribed(place: Place = { epoch: "e", offset: 0 }): this {
    for (const frame of this.sent()) {
      if (frame.type !== "subscribe_plan") continue;
      const about = { plan_id: frame.plan_id, ...place };
      const { request_id } = frame;
      this.receive({ type: "subscription_confirmed", ...about, head: place.offset, recovered: true, request_id });
      if (frame.since === "snapshot") this.receive({ type: "snapshot", ...about, data: emptySnapshot(frame.plan_id) });
    }
    return this;
  }

  /** Watches a plan, live. */
  live(planId = "p", place?: Place): this {
    this.follow(planId).connected().subscribed(place).take();
    return this;
  }

  drop(code = 1006, reason = "cut", hintMs?: number): this {
    return this.do((session, now) => session.closed(this.link, code, reason, hintMs, now));
  }

  page(visible: boolean, online = true, woken = true): this {
    return this.do((session, now) => session.pageChanged(visible, online, woken, now));
  }

  get status() {
    return this.session.connection.status;
  }
}
