/**
 * A minimal model of a hub, and a connection to it that fails in more ways than a real one: frames are held until they are
 * delivered; meanwhile events can be lost or duplicated, and the connection may break.
 */
import {
  emptySnapshot,
  fold,
  type ClientFrame,
  type Place,
  type PlanEvent,
  type Snapshot,
} from "../../../src/client/index.js";
import type { ServerFrame } from "../../../src/client/links/link.js";

const PLAN = "plan-1";

export class ModelHub {
  /** Null: an event of an unknown type. */
  log: (PlanEvent | null)[] = [];
  epoch = "e0";
  readonly #ended = new Map<string, number>();
  #floor = 0;
  readonly links = new Set<ModelLink>();
  /** The network blocks WebSockets. */
  blocked = false;

  connect(): ModelLink {
    const link = new ModelLink(this);
    const about = { connection_id: "c", protocol: 1, heartbeat_s: 25, server_time: new Date(0).toISOString() };
    link.frames.push({ type: "connected", ...about });
    this.links.add(link);
    return link;
  }

  get snapshot(): Snapshot {
    return fold(emptySnapshot(PLAN), 1, this.log);
  }

  send(events: readonly (PlanEvent | null)[]): void {
    this.log.push(...events);
  }

  /** Failover to a server that lacks the last events. */
  fork(lost: number): void {
    const survived = Math.max(this.#floor, this.log.length - lost);
    this.#ended.set(this.epoch, survived);
    for (const [epoch, end] of this.#ended) this.#ended.set(epoch, Math.min(end, survived));
    this.log = this.log.slice(0, survived);
    this.epoch = `e${this.#ended.size}`;
    for (const link of this.links) if (link.subscribed) link.seek(link.at);
  }

  trim(): void {
    this.#floor = this.log.length;
  }

  /** Why the log cannot continue from this position; null: it can. */
  gone({ epoch, offset }: Place): "trimmed" | "forked" | "ahead" | "epoch" | null {
    if (offset === 0) return this.#floor > 0 ? "trimmed" : null;
    if (epoch === this.epoch) {
      if (offset > this.log.length) return "ahead";
    } else {
      const end = this.#ended.get(epoch);
      if (end === undefined) return "epoch";
      if (offset > end) return "forked";
    }
    return offset < this.#floor ? "trimmed" : null;
  }
}

export class ModelLink {
  readonly frames: ServerFrame[] = [];
  readonly #hub: ModelHub;
  subscribed = false;
  at: Place = { epoch: "", offset: 0 };

  constructor(hub: ModelHub) {
    this.#hub = hub;
  }

  receive(frame: ClientFrame): void {
    if (frame.type === "ping") this.frames.push({ type: "pong" });
    if (frame.type === "unsubscribe_plan") {
      this.subscribed = false;
      this.frames.push({ type: "unsubscription_confirmed", plan_id: PLAN });
    }
    if (frame.type !== "subscribe_plan") return;
    this.subscribed = true;
    this.seek(typeof frame.since === "object" ? frame.since : null, frame.request_id);
  }

  /** Confirms a subscription from this position, or with a snapshot from the head. */
  seek(place: Place | null, request_id?: string): void {
    const { epoch, log } = this.#hub;
    const reason = place && this.#hub.gone(place);
    this.at = place && !reason ? { epoch: place.epoch || epoch, offset: place.offset } : { epoch, offset: log.length };
    const about = { plan_id: PLAN, ...this.at, head: log.length, request_id };
    this.frames.push(
      reason
        ? { type: "subscription_confirmed", ...about, recovered: false, reason }
        : { type: "subscription_confirmed", ...about, recovered: true },
    );
    if (!place || reason) this.sendSnapshot();
  }

  /** Skips ahead with a snapshot, as a hub does for a client far behind. */
  jump(): void {
    if (this.subscribed) this.seek(null);
  }

  sendSnapshot(): void {
    const { epoch, log, snapshot } = this.#hub;
    this.at = { epoch, offset: log.length };
    this.frames.push({ type: "snapshot", plan_id: PLAN, ...this.at, data: snapshot });
  }

  /** Queues the events since then; `merging`: adjacent tokens become one frame. */
  pump(merging: boolean): void {
    if (!this.subscribed) return;
    const { epoch, log } = this.#hub;
    while (this.at.offset < log.length) {
      const first = this.at.offset + 1;
      const event = log[first - 1] ?? null;
      let offset = first;
      let content = contentOf(event);
      while (merging && mayMerge(event, log[offset] ?? null)) content += contentOf(log[offset++] ?? null);
      this.at = { epoch, offset };
      const about = { plan_id: PLAN, epoch, offset, id: `a-${offset}` };
      const whole = offset > first ? { ...about, first } : about;
      const data = event && { ...event.data, ...(offset > first && { content }) };
      this.frames.push({
        type: event?.type ?? "unknown_type",
        ...whole,
        data: data ?? {},
      } as unknown as ServerFrame);
    }
  }
}

function contentOf(event: PlanEvent | null): string {
  return event?.type === "agent_message" ? event.data.content : "";
}

function mayMerge(one: PlanEvent | null, other: PlanEvent | null): boolean {
  if (one?.type !== "agent_message" || other?.type !== "agent_message") return false;
  const plain = [one.data, other.data].every(
    (data) => data.append && !data.final && data.error == null && data.data == null,
  );
  const same = (["message_id", "agent_name", "message_type", "step_id"] as const).every(
    (name) => one.data[name] === other.data[name],
  );
  return plain && same && one.data.message_id !== undefined;
}
