/**
 * Server-sent events in place of a WebSocket: one stream for all plans, reopened from their positions when the plans change.
 * Answers and signals are sent as HTTP requests.
 *
 * It uses fetch, since an EventSource cannot send a token.
 */
import type { ClientFrame, Place, SubscribePlanFrame } from "../../wire/index.js";
import { BROKEN, CLOSED_NORMALLY } from "../core/codes.js";
import { PlancastError } from "../errors.js";
import { messageOf } from "../http.js";
import { sendOverHttp, errorFrame, refusalFrame } from "./http_frames.js";
import { EventStreamReader, type Message } from "./event_stream.js";
import { closeCodeOf, type Link, type LinkOptions, type ServerFrame } from "./link.js";

/** Plans subscribed within this time share one opening of the stream. */
const GATHER_MS = 20;
/** The hub's limit of plans in one stream (H-SSE-1). */
const MAX_PLANS = 50;

interface Entry {
  since: SubscribePlanFrame["since"];
  /** The request id of a subscription that is not confirmed yet. */
  requestId: string | undefined;
  /** The open stream includes it. */
  included: boolean;
  /** The hub sends no more events of it on this stream. */
  ended: boolean;
}

export function openEventStream(options: LinkOptions): Link {
  return new SseLink(options);
}

class SseLink implements Link {
  readonly #options: LinkOptions;
  readonly #plans = new Map<string, Entry>();
  #token: string | undefined;
  #stop = new AbortController();
  #cancelOpen: (() => void) | undefined;
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
        this.#plans.delete(frame.plan_id);
        if (this.#plans.size === 0) this.#stop.abort();
        break;
      case "authenticate":
        this.#token = frame.token;
        this.#openSoon();
        this.#emit({ type: "authenticated", request_id: frame.request_id });
        break;
      case "ping": // Reopening the stream shows that the connection works.
        this.#openSoon();
        break;
      default:
        void sendOverHttp(this.#options.http, this.#token, frame).then((answer) => this.#emit(answer));
    }
  }

  close(): void {
    this.#closed = true;
    this.#cancelOpen?.();
    this.#stop.abort();
  }

  #subscribe({ plan_id, since, request_id }: SubscribePlanFrame): void {
    if (this.#plans.size >= MAX_PLANS && !this.#plans.has(plan_id)) {
      const message = `at most ${MAX_PLANS} plans over server-sent events`;
      this.#emit(errorFrame(new PlancastError("too_many_subscriptions", message), plan_id, request_id));
      return;
    }
    this.#plans.set(plan_id, { since, requestId: request_id, included: false, ended: false });
    this.#openSoon();
  }

  #openSoon(): void {
    this.#cancelOpen ??= this.#options.environment.after(GATHER_MS, () => {
      this.#cancelOpen = undefined;
      void this.#open();
    });
  }

  async #open(): Promise<void> {
    this.#stop.abort();
    if (this.#plans.size === 0) return;
    const stop = (this.#stop = new AbortController());
    for (const entry of this.#plans.values()) {
      entry.included = true;
      entry.ended = false;
    }
    try {
      await this.#read(stop.signal);
      if (!stop.signal.aborted && ![...this.#plans.values()].every((entry) => entry.ended)) {
        this.#end(BROKEN, "the stream ended");
      }
    } catch (error) {
      if (!stop.signal.aborted) this.#failed(error);
    }
  }

  async #read(signal: AbortSignal): Promise<void> {
    const entries = [...this.#plans];
    const positions = entries.map(([, { since }]) => positionText(since));
    const headers: Record<string, string> = { Accept: "text/event-stream" };
    if (positions.some(Boolean)) headers["Last-Event-ID"] = positions.join(",");
    // Plans without a position start as `since` specifies.
    const since = entries.some(([, entry]) => entry.since === "snapshot") ? "snapshot" : "now";
    const query = { plan: entries.map(([planId]) => planId), since };
    const token = this.#token;
    const response = await this.#options.http.request("/api/stream", { query, headers, token, signal, timeoutMs: 0 });
    const reader = response.body?.getReader();
    const decoder = new TextDecoder();
    const messages = new EventStreamReader();
    for (let piece = await reader?.read(); piece && !piece.done; piece = await reader?.read()) {
      this.#options.listener.received();
      for (const message of messages.read(decoder.decode(piece.value, { stream: true }))) {
        if (!isStopped(signal)) this.#take(message);
      }
    }
  }

  #take({ event, data }: Message): void {
    const frame = JSON.parse(data) as ServerFrame;
    if (event === "end") this.#planEnded((frame as { plan_id?: string }).plan_id);
    else if (event === "close") this.#hubClosed(frame as { code?: number; reason?: string });
    else if (isPlanFrame(frame)) this.#pass(frame);
    else this.#emit(frame);
  }

  /** Passes on a frame of a plan, with its request id, and records the position from which the next stream continues. */
  #pass(frame: PlanFrame): void {
    const entry = this.#plans.get(frame.plan_id);
    if (!entry?.included) return;
    let passed: ServerFrame = frame;
    if (frame.type === "subscription_confirmed" || frame.type === "error") {
      passed = { ...frame, request_id: entry.requestId };
      entry.requestId = undefined;
    }
    if (frame.type === "subscription_ended" || frame.type === "error") entry.ended = true;
    else if (frame.type !== "subscription_confirmed" && "offset" in frame) {
      entry.since = { epoch: frame.epoch ?? "", offset: frame.offset ?? 0 };
    }
    this.#emit(passed);
  }

  #planEnded(planId = ""): void {
    const entry = this.#plans.get(planId);
    if (entry) entry.ended = true;
  }

  #hubClosed({ code = BROKEN, reason = "" }: { code?: number; reason?: string }): void {
    // Once every plan has ended, this is just the end of the stream; a later ping reopens it.
    if (code === CLOSED_NORMALLY || [...this.#plans.values()].every((entry) => entry.ended)) return;
    this.#end(code, reason);
  }

  #failed(error: unknown): void {
    if (!(error instanceof PlancastError)) {
      this.#end(BROKEN, messageOf(error));
      return;
    }
    const { planId = "" } = error;
    const entry = this.#plans.get(planId);
    if (error.status === 403 && entry) {
      this.#plans.delete(planId);
      this.#emit(refusalFrame(error, planId, entry.requestId));
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

  #emit(frame: ServerFrame): void {
    if (!this.#closed) this.#options.listener.frame(frame);
  }
}

type PlanFrame = Extract<ServerFrame, { readonly plan_id?: string }> & { readonly plan_id: string };

function isPlanFrame(frame: ServerFrame): frame is PlanFrame {
  return "plan_id" in frame && frame.plan_id !== undefined;
}

/** A function, so that it is evaluated each time: handling a message may stop the stream. */
function isStopped(signal: AbortSignal): boolean {
  return signal.aborted;
}

function positionText(since: SubscribePlanFrame["since"]): string {
  return typeof since === "object" ? textOf(since) : "";
}

function textOf({ epoch, offset }: Place): string {
  return `${epoch}:${offset}`;
}
