/** Helpers for tests of a client that watches plans of a real hub. */
import { WebSocket } from "ws";
import {
  type Client,
  type ClientOptions,
  createClient,
  type EventFrame,
  type PlanView,
  type SocketLike,
} from "../../src/client/index.js";
import { eventually } from "../eventually.js";

export const Socket = WebSocket as unknown as new (url: string) => SocketLike;

export function clientOf(options: ClientOptions): Client {
  return createClient({ ...options, environment: { WebSocket: Socket, ...options.environment } });
}

export function contents(client: Client, planId: string): readonly string[] {
  return (
    client
      .plan(planId)
      .getSnapshot()
      .snapshot?.messages.map(({ content }) => content) ?? []
  );
}

/** Watches a plan; returns the growing list of its events. */
export function follow(client: Client, planId: string): EventFrame[] {
  const received: EventFrame[] = [];
  client.plan(planId).onEvents((events) => received.push(...events));
  return received;
}

export function live(client: Client, planId: string): Promise<PlanView> {
  return eventually(
    () => client.plan(planId).getSnapshot(),
    ({ live }) => live,
  );
}

/** Waits for this many messages. */
export function has(client: Client, planId: string, most: number): Promise<readonly string[]> {
  return eventually(
    () => contents(client, planId),
    ({ length }) => length >= most,
  );
}

export function connected(client: Client, status: string, transport?: string) {
  return eventually(
    () => client.connection.getSnapshot(),
    (now) => now.status === status && (transport === undefined || ("transport" in now && now.transport === transport)),
  );
}

/** Numbers as texts, so that missing messages show. */
export function numbers(from: number, to: number): string[] {
  return Array.from({ length: to - from + 1 }, (_, at) => String(from + at));
}
