/**
 * Server-sent events instead of a WebSocket: one stream for all plans, opened anew when the plans change, and from the places
 * where they stand; what the client says goes by requests.
 *
 * It is read with fetch, for an EventSource can send no token.
 */
import type { ClientFrame, Place, SubscribePlanFrame } from "../../wire/index.js";
import { BROKEN, CLOSED_NORMALLY } from "../core/codes.js";
import { PlancastError } from "../errors.js";
import { said } from "../http.js";
import { ask, asFrame, refusal } from "./asking.js";
import { EventStreamReader, type Message } from "./event_stream.js";
import { closeCodeOf, type Line, type LineOptions, type ServerFrame } from "./line.js";

/** Plans that are subscribed within this time go into one stream. */
const GATHER_MS = 20;
/** More don't fit into one stream (H-SSE-1). */
const PLANS_AT_MOST = 50;

interface Entry {
  since: SubscribePlanFrame["since"];
  /** Of the subscription that isn't confirmed yet. */
  requestId: string | undefined;
  /** The stream that is open carries it. */
  carried: boolean;
  /** The hub says no more of it for now. */
  over: boolean;
}

export function openEventStream(options: LineOptions): Line {
  return new SseLine(options);
}

class SseLine implements Line {
  readonly #options: LineOptions;
  readonly #plans = new Map<string, Entry>();
  #token: string | undefined;
  #stop = new AbortController();
  #takeBack: (() => void) | undefined;
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
        this.#plans.delete(frame.plan_id);
        if (this.#plans.size === 0) this.#stop.abort();
        break;
      case "authenticate":
        this.#token = frame.token;
        this.#openSoon();
        this.#tell({ type: "authenticated", request_id: frame.request_id });
        break;
      case "ping": // A stream that opens anew is a better proof than any word.
        this.#openSoon();
        break;
      default:
        void ask(this.#options.http, this.#token, frame).then((answer) => this.#tell(answer));
    }
  }

  close(): void {
    this.#closed = true;
    this.#takeBack?.();
    this.#stop.abort();
  }

  #subscribe({ plan_id, since, request_id }: SubscribePlanFrame): void {
    if (this.#plans.size >= PLANS_AT_MOST && !this.#plans.has(plan_id)) {
      const message = `at most ${PLANS_AT_MOST} plans where only server-sent events get through`;
      this.#tell(asFrame(new PlancastError("too_many_subscriptions", message), plan_id, request_id));
      return;
    }
    this.#plans.set(plan_id, { since, requestId: request_id, carried: false, over: false });
    this.#openSoon();
  }

  #openSoon(): void {
    this.#takeBack ??= this.#options.environment.after(GATHER_MS, () => {
      this.#takeBack = undefined;
      void this.#open();
    });
  }

  async #open(): Promise<void> {
    this.#stop.abort();
    if (this.#plans.size === 0) return;
    const stop = (this.#stop = new AbortController());
    for (const entry of this.#plans.values()) {
      entry.carried = true;
      entry.over = false;
    }
    try {
      await this.#read(stop.signal);
      if (!stop.signal.aborted && ![...this.#plans.values()].every((entry) => entry.over)) {
        this.#end(BROKEN, "the stream ended");
      }
    } catch (error) {
      if (!stop.signal.aborted) this.#failed(error);
    }
  }

  async #read(signal: AbortSignal): Promise<void> {
    const entries = [...this.#plans];
    const places = entries.map(([, { since }]) => placeText(since));
    const headers: Record<string, string> = { Accept: "text/event-stream" };
    if (places.some(Boolean)) headers["Last-Event-ID"] = places.join(",");
    // Those without a place begin as the address says.
    const since = entries.some(([, entry]) => entry.since === "snapshot") ? "snapshot" : "now";
    const query = { plan: entries.map(([planId]) => planId), since };
    const token = this.#token;
    const response = await this.#options.http.request("/api/stream", { query, headers, token, signal, timeoutMs: 0 });
    const reader = response.body?.getReader();
    const decoder = new TextDecoder();
    const messages = new EventStreamReader();
    for (let piece = await reader?.read(); piece && !piece.done; piece = await reader?.read()) {
      this.#options.listener.heard();
      for (const message of messages.read(decoder.decode(piece.value, { stream: true }))) {
        if (!isStopped(signal)) this.#take(message);
      }
    }
  }

  #take({ event, data }: Message): void {
    const frame = JSON.parse(data) as ServerFrame;
    if (event === "end") this.#over((frame as { plan_id?: string }).plan_id);
    else if (event === "close") this.#closes(frame as { code?: number; reason?: string });
    else if (isAboutPlan(frame)) this.#pass(frame);
    else this.#tell(frame);
  }

  /** A frame of a plan, with the request that it answers; the place that it leads to is where the next stream goes on. */
  #pass(frame: AboutPlan): void {
    const entry = this.#plans.get(frame.plan_id);
    if (!entry?.carried) return;
    let told: ServerFrame = frame;
    if (frame.type === "subscription_confirmed" || frame.type === "error") {
      told = { ...frame, request_id: entry.requestId };
      entry.requestId = undefined;
    }
    if (frame.type === "subscription_ended" || frame.type === "error") entry.over = true;
    else if (frame.type !== "subscription_confirmed" && "offset" in frame) {
      entry.since = { epoch: frame.epoch ?? "", offset: frame.offset ?? 0 };
    }
    this.#tell(told);
  }

  #over(planId = ""): void {
    const entry = this.#plans.get(planId);
    if (entry) entry.over = true;
  }

  #closes({ code = BROKEN, reason = "" }: { code?: number; reason?: string }): void {
    // After the last plan's end it is no more than the end of the stream; a later ping looks again.
    if (code === CLOSED_NORMALLY || [...this.#plans.values()].every((entry) => entry.over)) return;
    this.#end(code, reason);
  }

  #failed(error: unknown): void {
    if (!(error instanceof PlancastError)) {
      this.#end(BROKEN, said(error));
      return;
    }
    const { planId = "" } = error;
    const entry = this.#plans.get(planId);
    if (error.status === 403 && entry) {
      this.#plans.delete(planId);
      this.#tell(refusal(error, planId, entry.requestId));
      this.#openSoon();
    } else {
      this.#end(closeCodeOf(error), error.message, error.retryAfterMs);
    }
  }

  #end(code: number, reason: string, retryAfterMs?: number): void {
    if (this.#closed) return;
    this.close();
    this.#options.listener.closed(code, reason, retryAfterMs);
  }

  #tell(frame: ServerFrame): void {
    if (!this.#closed) this.#options.listener.frame(frame);
  }
}

type AboutPlan = Extract<ServerFrame, { readonly plan_id?: string }> & { readonly plan_id: string };

function isAboutPlan(frame: ServerFrame): frame is AboutPlan {
  return "plan_id" in frame && frame.plan_id !== undefined;
}

/** Asked anew each time: what takes a message may stop the stream. */
function isStopped(signal: AbortSignal): boolean {
  return signal.aborted;
}

function placeText(since: SubscribePlanFrame["since"]): string {
  return typeof since === "object" ? textOf(since) : "";
}

function textOf({ epoch, offset }: Place): string {
  return `${epoch}:${offset}`;
}
