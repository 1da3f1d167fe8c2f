/**
 * Long polling in place of a WebSocket: one request per plan, which the hub holds until there are events. Many plans take turns,
 * since browsers limit the number of open requests.
 */
import type { ClientFrame, EventFrame, Place, SubscribePlanFrame } from "../../wire/index.js";
import { PlancastError } from "../errors.js";
import { emptySnapshot } from "../fold/fold.js";
import { planPath, readPlan, messageOf } from "../http.js";
import { sendOverHttp, refusalFrame } from "./http_frames.js";
import { closeCodeOf, type Link, type LinkOptions, type ServerFrame } from "./link.js";
import { BROKEN } from "../core/codes.js";

/** The number of polls open at a time. */
const MAX_OPEN = 4;
const LONG_WAIT_S = 25;
/** How long a poll may be held while other plans wait for their turn. */
const SHORT_WAIT_S = 1;
/** The least time between two polls without events: a busy hub responds at once. */
const MIN_INTERVAL_MS = 250;

interface Entry {
  readonly planId: string;
  place: Place | null;
  /** The request id of a subscription that is not confirmed yet. */
  requestId: string | undefined;
  confirmed: boolean;
  stop: AbortController;
}

interface EventsPage {
  readonly epoch: string;
  readonly offset: number;
  readonly head: number;
  readonly events: readonly EventFrame[];
}

export function openPolling(options: LinkOptions): Link {
  return new PollingLink(options);
}

class PollingLink implements Link {
  readonly #options: LinkOptions;
  readonly #plans = new Map<string, Entry>();
  #turns: Entry[] = [];
  #polling = 0;
  #hurried = false;
  #token: string | undefined;
  #closed = false;

  constructor(options: LinkOptions) {
    this.#options = options;
    this.#token = options.token;
  }

  send(frame: ClientFrame): void {
    switch (frame.type) {
      case "subscribe_plan":
        this.#subscribe(frame);
        break;
      case "unsubscribe_plan":
        this.#drop(frame.plan_id);
        break;
      case "authenticate":
        this.#token = frame.token;
        this.#emit({ type: "authenticated", request_id: frame.request_id });
        break;
      case "ping":
        this.#hurry();
        break;
      default:
        void sendOverHttp(this.#options.http, this.#token, frame).then((answer) => this.#emit(answer));
    }
  }

  close(): void {
    this.#closed = true;
    for (const planId of [...this.#plans.keys()]) this.#drop(planId);
  }

  #subscribe({ plan_id: planId, since, request_id: requestId }: SubscribePlanFrame): void {
    this.#drop(planId);
    const place = typeof since === "object" ? since : null;
    const entry = { planId, place, requestId, confirmed: false, stop: new AbortController() };
    this.#plans.set(planId, entry);
    this.#turns.push(entry);
    if (this.#polling < MAX_OPEN) void this.#poll();
    else this.#hurry(); // ends the polls that are held, to make room
  }

  #drop(planId: string): void {
    const entry = this.#plans.get(planId);
    this.#plans.delete(planId);
    this.#turns = this.#turns.filter((one) => one !== entry);
    entry?.stop.abort();
  }

  /** Restarts the open polls without waiting, so that each responds at once. */
  #hurry(): void {
    this.#hurried = true;
    for (const entry of this.#plans.values()) entry.stop.abort();
  }

  /** Polls plan after plan, as long as there are plans. Several of these run at a time. */
  async #poll(): Promise<void> {
    this.#polling++;
    for (let entry = this.#turns.shift(); entry; entry = this.#turns.shift()) {
      const stop = (entry.stop = new AbortController());
      try {
        await this.#take(entry, stop.signal);
      } catch (error) {
        if (!stop.signal.aborted) this.#failed(entry, error);
      }
      if (this.#isCurrent(entry)) this.#turns.push(entry);
    }
    this.#polling--;
  }

  #isCurrent(entry: Entry): boolean {
    return !this.#closed && this.#plans.get(entry.planId) === entry;
  }

  async #take(entry: Entry, signal: AbortSignal): Promise<void> {
    if (!entry.place) {
      await this.#takeSnapshot(entry, signal);
      return;
    }
    const mayWait = this.#plans.size <= MAX_OPEN && entry.confirmed && !this.#hurried;
    const wait = mayWait ? LONG_WAIT_S : entry.confirmed ? SHORT_WAIT_S : 0;
    const { epoch, offset } = entry.place;
    const query = { after: offset, epoch, wait: this.#hurried ? 0 : wait };
    this.#hurried &&= this.#turns.length > 0;
    const timeoutMs = (LONG_WAIT_S + 10) * 1000;
    const options = { query, token: this.#token, signal, timeoutMs };
    const { now } = this.#options.environment;
    const earliest = now() + MIN_INTERVAL_MS;
    try {
      const page = await this.#options.http.json<EventsPage>(`${planPath(entry.planId)}/events`, options);
      if (this.#isCurrent(entry)) this.#takePage(entry, entry.place, page);
      if (page.events.length === 0) await this.#pause(earliest - now());
    } catch (error) {
      if (!(error instanceof PlancastError) || error.code !== "continuity_lost") throw error;
      await this.#takeSnapshot(entry, signal, error.reason);
    }
  }

  async #pause(ms: number): Promise<void> {
    if (ms > 0) await new Promise<void>((resolve) => this.#options.environment.after(ms, resolve));
  }

  #takePage(entry: Entry, place: Place, { epoch, offset, head, events }: EventsPage): void {
    this.#options.listener.received();
    if (!entry.confirmed) this.#confirm(entry, place, head);
    entry.place = { epoch, offset };
    for (const frame of events) this.#emit(frame);
  }

  async #takeSnapshot(entry: Entry, signal: AbortSignal, reason?: string): Promise<void> {
    const known = await readPlan(this.#options.http, entry.planId, { token: this.#token, signal });
    const { snapshot, place } = known ?? { snapshot: emptySnapshot(entry.planId), place: { epoch: "", offset: 0 } };
    if (!this.#isCurrent(entry)) return;
    this.#options.listener.received();
    this.#confirm(entry, place, place.offset, reason);
    entry.place = place;
    this.#emit({ type: "snapshot", plan_id: entry.planId, ...place, data: snapshot });
  }

  #confirm(entry: Entry, { epoch, offset }: Place, head: number, reason?: string): void {
    const request_id = entry.requestId;
    entry.requestId = undefined;
    entry.confirmed = true;
    const about = { plan_id: entry.planId, epoch, offset, head, request_id };
    if (reason === undefined) this.#emit({ type: "subscription_confirmed", ...about, recovered: true });
    else this.#emit({ type: "subscription_confirmed", ...about, recovered: false, reason: reason as "epoch" });
  }

  #failed(entry: Entry, error: unknown): void {
    const { planId, requestId } = entry;
    const failure = error instanceof PlancastError ? error : new PlancastError("network", messageOf(error));
    if (failure.status === 403 || failure.code === "plan_deleted") {
      this.#drop(planId);
      this.#emit(refusalFrame(failure, planId, requestId));
    } else if (!this.#closed) {
      this.close();
      this.#options.listener.closed(
        failure.status ? closeCodeOf(failure) : BROKEN,
        failure.message,
        failure.retryAfterMs,
      );
    }
  }

  #emit(frame: ServerFrame): void {
    if (!this.#closed) this.#options.listener.frame(frame);
  }
}
