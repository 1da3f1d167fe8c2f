/** An in-memory hub for one page: it responds to a client's frames, and publishes a test's events. */
import {
  createClient,
  type Client,
  type ClientOptions,
  type Place,
  type PlanEvent,
  type SocketLike,
} from "../src/client/index.js";
import { emptySnapshot, fold } from "../src/client/index.js";

interface ClientMessage {
  readonly type: string;
  readonly plan_id: string;
  readonly since?: "snapshot" | Place;
  readonly request_id?: string;
  readonly answer?: unknown;
  readonly signal?: string;
}

export class ScriptedHub {
  readonly sockets: ScriptedSocket[] = [];
  readonly received: ClientMessage[] = [];
  readonly #plans = new Map<string, PlanEvent[]>();
  /** The response to an answer or a signal. */
  onRequest: (message: ClientMessage) => object | null = (message) => ({
    type: message.type === "plan_input" ? "input_accepted" : "signal_accepted",
    plan_id: message.plan_id,
    request_id: message.request_id,
    signal: message.signal,
    epoch: "e",
    offset: 1,
  });

  /** The replacement for the global WebSocket. */
  get Socket(): new () => SocketLike {
    const add = (socket: ScriptedSocket) => this.sockets.push(socket);
    const receive = (socket: ScriptedSocket, text: string) => this.#receive(socket, JSON.parse(text) as ClientMessage);
    return class extends ScriptedSocket {
      constructor() {
        super(receive);
        add(this);
      }
    };
  }

  client(options: ClientOptions = {}): Client {
    const environment = { WebSocket: this.Socket, ...options.environment };
    return createClient({ url: "http://hub.test", ...options, environment });
  }

  /** Publishes events to all clients that watch the plan. */
  publish(planId: string, ...events: readonly PlanEvent[]): void {
    const log = this.#plans.get(planId) ?? [];
    this.#plans.set(planId, log);
    for (const event of events) {
      const frame = frameOf(planId, log.push(event), event);
      for (const socket of this.sockets) if (socket.plans.has(planId)) socket.deliver(frame);
    }
  }

  #receive(socket: ScriptedSocket, message: ClientMessage): void {
    this.received.push(message);
    if (message.type === "subscribe_plan") this.#subscribe(socket, message);
    else if (message.type === "unsubscribe_plan") socket.plans.delete(message.plan_id);
    else if (message.type === "ping") socket.deliver({ type: "pong" });
    else {
      const answer = this.onRequest(message);
      if (answer) socket.deliver(answer);
    }
  }

  #subscribe(socket: ScriptedSocket, { plan_id, since, request_id }: ClientMessage): void {
    const log = this.#plans.get(plan_id) ?? [];
    const after = typeof since === "object" ? since.offset : log.length;
    const place = { epoch: "e", offset: after };
    socket.plans.add(plan_id);
    socket.deliver({
      type: "subscription_confirmed",
      plan_id,
      ...place,
      head: log.length,
      recovered: true,
      request_id,
    });
    if (typeof since === "object") {
      log.slice(after).forEach((event, at) => socket.deliver(frameOf(plan_id, after + at + 1, event)));
    } else {
      socket.deliver({ type: "snapshot", plan_id, ...place, data: fold(emptySnapshot(plan_id), 1, log) });
    }
  }
}

function frameOf(planId: string, offset: number, event: PlanEvent) {
  return { type: event.type, plan_id: planId, epoch: "e", offset, id: `a-${offset}`, data: event.data };
}

class ScriptedSocket implements SocketLike {
  readyState = 0;
  onopen: SocketLike["onopen"] = null;
  onmessage: SocketLike["onmessage"] = null;
  onclose: SocketLike["onclose"] = null;
  onerror: SocketLike["onerror"] = null;
  readonly plans = new Set<string>();
  readonly #receive: (socket: ScriptedSocket, text: string) => void;

  constructor(receive: (socket: ScriptedSocket, text: string) => void) {
    this.#receive = receive;
    queueMicrotask(() => {
      if (this.readyState !== 0) return;
      this.readyState = 1;
      const server_time = new Date().toISOString();
      this.deliver({ type: "connected", connection_id: "c", protocol: 1, heartbeat_s: 25, server_time });
    });
  }

  send(text: string): void {
    queueMicrotask(() => this.#receive(this, text));
  }

  close(): void {
    this.readyState = 3;
    this.plans.clear();
  }

  /** The connection breaks, or the hub closes it. */
  drop(code = 1006, reason = ""): void {
    this.close();
    this.onclose?.({ code, reason });
  }

  deliver(frame: object): void {
    if (this.readyState === 1) this.onmessage?.({ data: JSON.stringify(frame) });
  }
}

export const at = "2026-01-31T12:00:00.000Z";

export function message(content: string, more: object = {}): PlanEvent {
  const data = { plan_id: "p", timestamp: at, agent_name: "Data Analyst", content, message_type: "thinking" as const };
  return { type: "agent_message", data: { ...data, ...more } };
}

export function planUpdate(more: object): PlanEvent {
  return { type: "plan_update", data: { plan_id: "p", timestamp: at, status: "in_progress", ...more } };
}
