/** A session on the bench: time is a number, and what it wants done is written down. */
import type { Effect } from "../../../src/client/core/effects.js";
import { Session, type SessionOptions } from "../../../src/client/core/session.js";
import type { ClientFrame, Place } from "../../../src/client/index.js";
import { emptySnapshot } from "../../../src/client/index.js";
import type { ServerFrame } from "../../../src/client/lines/line.js";

export class Bench {
  readonly session: Session;
  now = 0;
  /** What was wanted since it was asked last. */
  #effects: Effect[] = [];
  line = 0;

  constructor(options: Partial<SessionOptions> = {}) {
    const usual = { transports: ["websocket", "sse", "polling"], fetches: false, random: () => 0 } as const;
    this.session = new Session({ ...usual, ...options });
  }

  do(step: (session: Session, now: number) => Effect[]): this {
    const effects = step(this.session, this.now);
    for (const effect of effects) if (effect.do === "open") this.line = effect.line;
    this.#effects.push(...effects);
    return this;
  }

  take(): Effect[] {
    return this.#effects.splice(0);
  }

  /** What was done, but for what pages are told. */
  deeds(): string[] {
    const told = ["plan_changed", "connection_changed", "send"];
    return this.take()
      .map((effect) => effect.do)
      .filter((name) => !told.includes(name));
  }

  /** The frames that were said since it was asked last. */
  said(): ClientFrame[] {
    return this.take().flatMap((effect) => (effect.do === "send" ? [effect.frame] : []));
  }

  hear(frame: ServerFrame | null, line = this.line): this {
    return this.do((session, now) => session.frame(line, frame, now));
  }

  /** Time passes, and timers go off when they are due. */
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
    return this.hear({ type: "connected", connection_id: "c", protocol: 1, heartbeat_s: 25, server_time, ...more });
  }

  /** Joins all plans that ask for it, at this place. */
  joined(place: Place = { epoch: "e", offset: 0 }): this {
    for (const frame of this.said()) {
      if (frame.type !== "subscribe_plan") continue;
      const about = { plan_id: frame.plan_id, ...place };
      const { request_id } = frame;
      this.hear({ type: "subscription_confirmed", ...about, head: place.offset, recovered: true, request_id });
      if (frame.since === "snapshot") this.hear({ type: "snapshot", ...about, data: emptySnapshot(frame.plan_id) });
    }
    return this;
  }

  /** Watches a plan, live. */
  live(planId = "p", place?: Place): this {
    this.follow(planId).connected().joined(place).take();
    return this;
  }

  drop(code = 1006, reason = "cut", hintMs?: number): this {
    return this.do((session, now) => session.closed(this.line, code, reason, hintMs, now));
  }

  look(visible: boolean, online = true, woken = true): this {
    return this.do((session, now) => session.world(visible, online, woken, now));
  }

  get status() {
    return this.session.connection.status;
  }
}
