/** A hub for one page, in memory: it answers what a client says, and says what a test wants said. */
import {
  createClient,
  type Client,
  type ClientOptions,
  type Place,
  type PlanEvent,
  type SocketLike,
} from "../src/client/index.js";
import { emptySnapshot, fold } from "../src/client/index.js";

interface Said {
  readonly type: string;
  readonly plan_id: string;
  readonly since?: "snapshot" | Place;
  readonly request_id?: string;
  readonly answer?: unknown;
  readonly signal?: string;
}

export class ScriptedHub {
  readonly sockets: ScriptedSocket[] = [];
  readonly heard: Said[] = [];
  readonly #plans = new Map<string, PlanEvent[]>();
  /** What an answer or a signal is answered with. */
  onRequest: (said: Said) => object | null = (said) => ({
    type: said.type === "plan_input" ? "input_accepted" : "signal_accepted",
    plan_id: said.plan_id,
    request_id: said.request_id,
    signal: said.signal,
    epoch: "e",
    offset: 1,
  });

  /** What stands for the global WebSocket. */
  get Socket(): new () => SocketLike {
    const add = (socket: ScriptedSocket) => this.sockets.push(socket);
    const hear = (socket: ScriptedSocket, text: string) => this.#hear(socket, JSON.parse(text) as Said);
    return class extends ScriptedSocket {
      constructor() {
        super(hear);
        add(this);
      }
    };
  }

  client(options: ClientOptions = {}): Client {
    const environment = { WebSocket: this.Socket, ...options.environment };
    return createClient({ url: "http://hub.test", ...options, environment });
  }

  /** Says something about a plan, to all who watch it. */
  say(planId: string, ...events: readonly PlanEvent[]): void {
    const log = this.#plans.get(planId) ?? [];
    this.#plans.set(planId, log);
    for (const event of events) {
      const frame = frameOf(planId, log.push(event), event);
      for (const socket of this.sockets) if (socket.plans.has(planId)) socket.tell(frame);
    }
  }

  #hear(socket: ScriptedSocket, said: Said): void {
    this.heard.push(said);
    if (said.type === "subscribe_plan") this.#subscribe(socket, said);
    else if (said.type === "unsubscribe_plan") socket.plans.delete(said.plan_id);
    else if (said.type === "ping") socket.tell({ type: "pong" });
    else {
      const answer = this.onRequest(said);
      if (answer) socket.tell(answer);
    }
  }

  #subscribe(socket: ScriptedSocket, { plan_id, since, request_id }: Said): void {
    const log = this.#plans.get(plan_id) ?? [];
    const after = typeof since === "object" ? since.offset : log.length;
    const place = { epoch: "e", offset: after };
    socket.plans.add(plan_id);
    socket.tell({ type: "subscription_confirmed", plan_id, ...place, head: log.length, recovered: true, request_id });
    if (typeof since === "object") {
      log.slice(after).forEach((event, at) => socket.tell(frameOf(plan_id, after + at + 1, event)));
    } else {
      socket.tell({ type: "snapshot", plan_id, ...place, data: fold(emptySnapshot(plan_id), 1, log) });
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
  readonly #hear: (socket: ScriptedSocket, text: string) => void;

  constructor(hear: (socket: ScriptedSocket, text: string) => void) {
    this.#hear = hear;
    queueMicrotask(() => {
      if (this.readyState !== 0) return;
      this.readyState = 1;
      const server_time = new Date().toISOString();
      this.tell({ type: "connected", connection_id: "c", protocol: 1, heartbeat_s: 25, server_time });
    });
  }

  send(text: string): void {
    queueMicrotask(() => this.#hear(this, text));
  }

  close(): void {
    this.readyState = 3;
    this.plans.clear();
  }

  /** The line breaks, or the hub closes it. */
  drop(code = 1006, reason = ""): void {
    this.close();
    this.onclose?.({ code, reason });
  }

  tell(frame: object): void {
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
