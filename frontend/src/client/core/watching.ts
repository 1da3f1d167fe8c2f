/** All plans that a client follows, on whatever line there is. Pure: what is to be said comes back as frames. */
import type { ClientFrame, ControlFrame, ErrorFrame, EventFrame, SubscriptionEndedFrame } from "../../wire/index.js";
import { PlancastError } from "../errors.js";
import { backoff } from "./backoff.js";
import { CONTINUITY_LOST, isFinalEnding, TOKEN_EXPIRED_ENDING } from "./codes.js";
import { Follower } from "./follower.js";
import { errorOf } from "./requests.js";

/** A subscription that is refused with one of these is not asked for again, unless with another token. */
const FINAL_ERRORS = new Set(["forbidden", "plan_deleted", "invalid_plan_id", "invalid_field"]);
/** So often in a row a story is asked for from the place; then from a snapshot; then after a pause. */
const REPAIRS = 2;

/** Frames that are about one plan. */
export type AboutPlan = EventFrame | Extract<ControlFrame, { readonly plan_id: string }>;

export class Watching {
  readonly followers = new Map<string, Follower>();
  #random: () => number;
  /** Request ids are told apart from those of other people's questions. */
  #name: string;
  #count = 0;

  constructor(random: () => number) {
    this.#random = random;
    this.#name = `s${Math.floor(random() * 2 ** 40).toString(36)}-`;
  }

  /** When one that rests is to be tried again. */
  due(): number {
    let due = Infinity;
    for (const one of this.followers.values()) if (one.standing === "resting") due = Math.min(due, one.retryAt);
    return due;
  }

  /** Everybody has all that was said. */
  get live(): boolean {
    return [...this.followers.values()].every((one) => one.live || one.standing === "refused");
  }

  begin(planId: string): Follower {
    const follower = this.followers.get(planId) ?? new Follower(planId);
    this.followers.set(planId, follower);
    return follower;
  }

  /** Lets the plan go; whether there is a subscription to take back. */
  end(planId: string): boolean {
    const standing = this.followers.get(planId)?.standing;
    this.followers.delete(planId);
    return standing === "joining" || standing === "joined";
  }

  apart(): void {
    for (const follower of this.followers.values()) follower.apart();
  }

  /** The frames that subscribe to all that isn't subscribed, as far as it is time. */
  joinAll(now: number): ClientFrame[] {
    const ready = [...this.followers.values()].filter(
      (one) => one.standing === "apart" || (one.standing === "resting" && one.retryAt <= now),
    );
    return ready.map((one) => this.#join(one));
  }

  /** There is another token: with it, more may be allowed. */
  authenticated(anew: boolean): void {
    for (const one of this.followers.values()) {
      if (one.standing !== "expired" && !(anew && one.error?.code === "forbidden")) continue;
      one.standing = "apart";
      one.error = null;
    }
  }

  /** Those that were refused are asked for once more. */
  forgive(): void {
    for (const one of this.followers.values()) if (one.standing === "refused") one.standing = "apart";
  }

  /** A frame about a plan came. What is to be said to it; null: nothing has changed. */
  hear(frame: AboutPlan, now: number): ClientFrame[] | null {
    const follower = this.followers.get(frame.plan_id);
    if (!follower) return null;
    switch (frame.type) {
      case "subscription_confirmed":
        follower.confirmed(frame);
        return [];
      case "snapshot":
        follower.replaced(frame);
        return [];
      case "subscription_ended":
        this.#ended(follower, frame, now);
        return [];
      case "unsubscription_confirmed":
      case "input_accepted":
      case "signal_accepted":
        return null;
      default:
        // Newer hubs may say what isn't known here; if it has a place, it is an event.
        return typeof frame.offset === "number" ? this.#told(follower, frame, now) : null;
    }
  }

  /** An event came; what is to be said when something is missing before it (K-PLC-2). */
  #told(follower: Follower, frame: EventFrame, now: number): ClientFrame[] {
    if (follower.take(frame)) return [];
    const leaving: ClientFrame = { type: "unsubscribe_plan", plan_id: frame.plan_id };
    const failures = follower.failures++;
    if (failures >= REPAIRS) {
      this.#rest(follower, now, backoff(failures - REPAIRS, this.#random));
      return [leaving];
    }
    if (failures > 0) follower.beginAfresh();
    return [leaving, this.#join(follower)];
  }

  #ended(follower: Follower, frame: SubscriptionEndedFrame, now: number): void {
    if (follower.standing !== "joined" && follower.standing !== "joining") return;
    if (isFinalEnding(frame.code)) {
      follower.standing = "refused";
      const code = frame.code === 2403 ? "forbidden" : frame.code === 2404 ? "plan_deleted" : "refused";
      follower.error = new PlancastError(code, frame.reason, { planId: frame.plan_id });
    } else if (frame.code === TOKEN_EXPIRED_ENDING) {
      follower.standing = "expired";
      follower.error = new PlancastError("token_expired", frame.reason, { planId: frame.plan_id });
    } else {
      if (frame.code === CONTINUITY_LOST) follower.beginAfresh();
      this.#rest(follower, now, follower.failures++ ? backoff(follower.failures, this.#random) : 0);
    }
  }

  /** An error came; whether it was about a subscription under way. */
  refused(frame: ErrorFrame, now: number): boolean {
    const follower = this.followers.get(frame.plan_id ?? "");
    if (!follower?.asked(frame.request_id)) return false;
    follower.error = errorOf(frame);
    if (frame.code === "token_expired" || frame.code === "unauthenticated") {
      follower.standing = "expired";
      return true;
    }
    if (FINAL_ERRORS.has(frame.code)) {
      follower.standing = "refused";
      return true;
    }
    if (frame.code === "continuity_lost") follower.beginAfresh();
    this.#rest(follower, now, frame.retry_after_ms ?? backoff(follower.failures, this.#random));
    follower.failures++;
    return true;
  }

  #join(follower: Follower): ClientFrame {
    return follower.join(`${this.#name}${this.#count++}`);
  }

  #rest(follower: Follower, now: number, ms: number): void {
    follower.standing = "resting";
    follower.retryAt = now + ms;
  }
}
