/** All subscriptions of a client. Pure: the frames to send are returned. */
import type { ClientFrame, ControlFrame, ErrorFrame, EventFrame, SubscriptionEndedFrame } from "../../wire/index.js";
import { PlancastError } from "../errors.js";
import { backoff } from "./retries.js";
import { CONTINUITY_LOST, isFinalEnding, TOKEN_EXPIRED_ENDING } from "./codes.js";
import { Subscription } from "./subscription.js";
import { errorOf } from "./requests.js";

/** A subscription refused with one of these codes is not requested again with the same token. */
const FINAL_ERRORS = new Set(["forbidden", "plan_deleted", "invalid_plan_id", "invalid_field"]);
/** After a gap, the plan is requested once from its position and once from a snapshot; then with backoff. */
const REPAIRS = 2;

/** A frame about one plan. */
export type PlanFrame = EventFrame | Extract<ControlFrame, { readonly plan_id: string }>;

export class Subscriptions {
  readonly all = new Map<string, Subscription>();
  #random: () => number;
  /** Prefix of the request ids, so that they do not collide with those of answers. */
  #prefix: string;
  #count = 0;

  constructor(random: () => number) {
    this.#random = random;
    this.#prefix = `s${Math.floor(random() * 2 ** 40).toString(36)}-`;
  }

  /** When the next subscription must be retried. */
  due(): number {
    let due = Infinity;
    for (const one of this.all.values()) if (one.state === "retrying") due = Math.min(due, one.retryAt);
    return due;
  }

  /** Whether every subscription is up to date or refused. */
  get live(): boolean {
    return [...this.all.values()].every((one) => one.live || one.state === "refused");
  }

  begin(planId: string): Subscription {
    const subscription = this.all.get(planId) ?? new Subscription(planId);
    this.all.set(planId, subscription);
    return subscription;
  }

  /** Drops the plan; returns whether it must be unsubscribed at the hub. */
  end(planId: string): boolean {
    const state = this.all.get(planId)?.state;
    this.all.delete(planId);
    return state === "subscribing" || state === "subscribed";
  }

  disconnected(): void {
    for (const subscription of this.all.values()) subscription.disconnected();
  }

  /** Subscribes to every plan that is due; returns the frames to send. */
  subscribeAll(now: number): ClientFrame[] {
    const ready = [...this.all.values()].filter(
      (one) => one.state === "unsubscribed" || (one.state === "retrying" && one.retryAt <= now),
    );
    return ready.map((one) => this.#subscribe(one));
  }

  /** A token was accepted; `changed`: another one, which may allow what was forbidden. */
  authenticated(changed: boolean): void {
    for (const one of this.all.values()) {
      if (one.state !== "expired" && !(changed && one.error?.code === "forbidden")) continue;
      one.state = "unsubscribed";
      one.error = null;
    }
  }

  /** Makes the refused subscriptions due again. */
  retryRefused(): void {
    for (const one of this.all.values()) if (one.state === "refused") one.state = "unsubscribed";
  }

  /** Handles a frame about a plan. Returns the frames to send; null if nothing changed. */
  receive(frame: PlanFrame, now: number): ClientFrame[] | null {
    const subscription = this.all.get(frame.plan_id);
    if (!subscription) return null;
    switch (frame.type) {
      case "subscription_confirmed":
        subscription.confirmed(frame);
        return [];
      case "snapshot":
        subscription.replaced(frame);
        return [];
      case "subscription_ended":
        this.#ended(subscription, frame, now);
        return [];
      case "unsubscription_confirmed":
      case "input_accepted":
      case "signal_accepted":
        return null;
      default:
        // A type unknown to this version; with an offset, it is an event.
        return typeof frame.offset === "number" ? this.#event(subscription, frame, now) : null;
    }
  }

  /** Handles an event; when events before it are missing, returns the frames that request them (K-PLC-2). */
  #event(subscription: Subscription, frame: EventFrame, now: number): ClientFrame[] {
    if (subscription.take(frame)) return [];
    const leaving: ClientFrame = { type: "unsubscribe_plan", plan_id: frame.plan_id };
    const failures = subscription.failures++;
    if (failures >= REPAIRS) {
      this.#retryIn(subscription, now, backoff(failures - REPAIRS, this.#random));
      return [leaving];
    }
    if (failures > 0) subscription.requestSnapshot();
    return [leaving, this.#subscribe(subscription)];
  }

  #ended(subscription: Subscription, frame: SubscriptionEndedFrame, now: number): void {
    if (subscription.state !== "subscribed" && subscription.state !== "subscribing") return;
    if (isFinalEnding(frame.code)) {
      subscription.state = "refused";
      const code = frame.code === 2403 ? "forbidden" : frame.code === 2404 ? "plan_deleted" : "refused";
      subscription.error = new PlancastError(code, frame.reason, { planId: frame.plan_id });
    } else if (frame.code === TOKEN_EXPIRED_ENDING) {
      subscription.state = "expired";
      subscription.error = new PlancastError("token_expired", frame.reason, { planId: frame.plan_id });
    } else {
      if (frame.code === CONTINUITY_LOST) subscription.requestSnapshot();
      this.#retryIn(subscription, now, subscription.failures++ ? backoff(subscription.failures, this.#random) : 0);
    }
  }

  /** Handles an error frame; returns whether it was about a pending subscription. */
  refused(frame: ErrorFrame, now: number): boolean {
    const subscription = this.all.get(frame.plan_id ?? "");
    if (!subscription?.awaits(frame.request_id)) return false;
    subscription.error = errorOf(frame);
    if (frame.code === "token_expired" || frame.code === "unauthenticated") {
      subscription.state = "expired";
      return true;
    }
    if (FINAL_ERRORS.has(frame.code)) {
      subscription.state = "refused";
      return true;
    }
    if (frame.code === "continuity_lost") subscription.requestSnapshot();
    this.#retryIn(subscription, now, frame.retry_after_ms ?? backoff(subscription.failures, this.#random));
    subscription.failures++;
    return true;
  }

  #subscribe(subscription: Subscription): ClientFrame {
    return subscription.subscribe(`${this.#prefix}${this.#count++}`);
  }

  #retryIn(subscription: Subscription, now: number, ms: number): void {
    subscription.state = "retrying";
    subscription.retryAt = now + ms;
  }
}
