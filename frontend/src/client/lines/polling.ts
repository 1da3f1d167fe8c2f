/**
 * Long polling instead of a WebSocket: each plan is asked about for as long as the hub holds the answer back; many plans take
 * turns, for browsers hold few requests open.
 */
import type { ClientFrame, EventFrame, Place, SubscribePlanFrame } from "../../wire/index.js";
import { PlancastError } from "../errors.js";
import { emptySnapshot } from "../fold/fold.js";
import { planPath, readPlan, said } from "../http.js";
import { ask, refusal } from "./asking.js";
import { closeCodeOf, type Line, type LineOptions, type ServerFrame } from "./line.js";
import { BROKEN } from "../core/codes.js";

/** So many polls are open at once. */
const AT_ONCE = 4;
const PATIENT_S = 25;
/** How long one waits when others wait for their turn. */
const BRISK_S = 1;
/** The least time between two questions that have nothing for an answer: a hub in a hurry holds none back. */
const LEAST_MS = 250;

interface Entry {
  readonly planId: string;
  place: Place | null;
  /** Of the subscription that isn't confirmed yet. */
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

export function openPolling(options: LineOptions): Line {
  return new PollingLine(options);
}

class PollingLine implements Line {
  readonly #options: LineOptions;
  readonly #plans = new Map<string, Entry>();
  #turns: Entry[] = [];
  #polling = 0;
  #brisk = false;
  #token: string | undefined;
  #closed = false;

  constructor(options: LineOptions) {
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
        this.#tell({ type: "authenticated", request_id: frame.request_id });
        break;
      case "ping":
        this.#hurry();
        break;
      default:
        void ask(this.#options.http, this.#token, frame).then((answer) => this.#tell(answer));
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
    if (this.#polling < AT_ONCE) void this.#poll();
    else this.#hurry(); // those that wait patiently make room
  }

  #drop(planId: string): void {
    const entry = this.#plans.get(planId);
    this.#plans.delete(planId);
    this.#turns = this.#turns.filter((one) => one !== entry);
    entry?.stop.abort();
  }

  /** Polls that wait are asked once more, and answered at once. */
  #hurry(): void {
    this.#brisk = true;
    for (const entry of this.#plans.values()) entry.stop.abort();
  }

  /** One of the polls that are open at once: turn after turn, as long as there are plans. */
  async #poll(): Promise<void> {
    this.#polling++;
    for (let entry = this.#turns.shift(); entry; entry = this.#turns.shift()) {
      const stop = (entry.stop = new AbortController());
      try {
        await this.#take(entry, stop.signal);
      } catch (error) {
        if (!stop.signal.aborted) this.#failed(entry, error);
      }
      if (this.#knows(entry)) this.#turns.push(entry);
    }
    this.#polling--;
  }

  #knows(entry: Entry): boolean {
    return !this.#closed && this.#plans.get(entry.planId) === entry;
  }

  async #take(entry: Entry, signal: AbortSignal): Promise<void> {
    if (!entry.place) {
      await this.#takeSnapshot(entry, signal);
      return;
    }
    const patient = this.#plans.size <= AT_ONCE && entry.confirmed && !this.#brisk;
    const wait = patient ? PATIENT_S : entry.confirmed ? BRISK_S : 0;
    const { epoch, offset } = entry.place;
    const query = { after: offset, epoch, wait: this.#brisk ? 0 : wait };
    this.#brisk &&= this.#turns.length > 0;
    const timeoutMs = (PATIENT_S + 10) * 1000;
    const options = { query, token: this.#token, signal, timeoutMs };
    const { now } = this.#options.environment;
    const earliest = now() + LEAST_MS;
    try {
      const page = await this.#options.http.json<EventsPage>(`${planPath(entry.planId)}/events`, options);
      if (this.#knows(entry)) this.#takePage(entry, entry.place, page);
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
    this.#options.listener.heard();
    if (!entry.confirmed) this.#confirm(entry, place, head);
    entry.place = { epoch, offset };
    for (const frame of events) this.#tell(frame);
  }

  async #takeSnapshot(entry: Entry, signal: AbortSignal, reason?: string): Promise<void> {
    const known = await readPlan(this.#options.http, entry.planId, { token: this.#token, signal });
    const { snapshot, place } = known ?? { snapshot: emptySnapshot(entry.planId), place: { epoch: "", offset: 0 } };
    if (!this.#knows(entry)) return;
    this.#options.listener.heard();
    this.#confirm(entry, place, place.offset, reason);
    entry.place = place;
    this.#tell({ type: "snapshot", plan_id: entry.planId, ...place, data: snapshot });
  }

  #confirm(entry: Entry, { epoch, offset }: Place, head: number, reason?: string): void {
    const request_id = entry.requestId;
    entry.requestId = undefined;
    entry.confirmed = true;
    const about = { plan_id: entry.planId, epoch, offset, head, request_id };
    if (reason === undefined) this.#tell({ type: "subscription_confirmed", ...about, recovered: true });
    else this.#tell({ type: "subscription_confirmed", ...about, recovered: false, reason: reason as "epoch" });
  }

  #failed(entry: Entry, error: unknown): void {
    const { planId, requestId } = entry;
    const failure = error instanceof PlancastError ? error : new PlancastError("network", said(error));
    if (failure.status === 403 || failure.code === "plan_deleted") {
      this.#drop(planId);
      this.#tell(refusal(failure, planId, requestId));
    } else if (!this.#closed) {
      this.close();
      this.#options.listener.closed(
        failure.status ? closeCodeOf(failure) : BROKEN,
        failure.message,
        failure.retryAfterMs,
      );
    }
  }

  #tell(frame: ServerFrame): void {
    if (!this.#closed) this.#options.listener.frame(frame);
  }
}
