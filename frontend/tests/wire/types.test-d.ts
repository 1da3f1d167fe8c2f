/** The public types, checked by `tsc`: lines that must not compile are marked. */
import { expectTypeOf } from "vitest";
import {
  type Client,
  type Connection,
  createClient,
  type EventFrame,
  fold,
  type PlanEvent,
  PlancastError,
  type PlanSummary,
  type PlanView,
  type Snapshot,
} from "../../src/client/index.js";
import { usePlan, usePlanEvents } from "../../src/react/index.js";

export function snapshots(view: PlanView, snapshot: Snapshot): void {
  expectTypeOf(view.snapshot).toEqualTypeOf<Snapshot | null>();
  expectTypeOf(view.status).toEqualTypeOf<Snapshot["status"] | null>();
  expectTypeOf(snapshot.messages[0]?.content).toEqualTypeOf<string | undefined>();
  expectTypeOf(snapshot.result).toEqualTypeOf<Readonly<Record<string, unknown>> | undefined>();
  // @ts-expect-error it may not be known yet
  expectTypeOf(view.snapshot.title);
  // @ts-expect-error snapshots are never changed
  snapshot.title = "another";
  expectTypeOf(snapshot.messages).not.toHaveProperty("push");
}

export function events(frame: EventFrame, event: PlanEvent, snapshot: Snapshot): void {
  if (frame.type === "step_update")
    expectTypeOf(frame.data.status).toEqualTypeOf<Snapshot["steps"][number]["status"]>();
  if (event.type === "agent_message") expectTypeOf(event.data.append).toEqualTypeOf<boolean | undefined>();
  // @ts-expect-error only messages have it
  expectTypeOf(event.data.append);
  expectTypeOf(fold(snapshot, 1, [event, frame, null])).toEqualTypeOf<Snapshot>();
}

export function connections(connection: Connection): string {
  switch (connection.status) {
    case "reconnecting":
    case "offline":
      expectTypeOf(connection.retryAt).toBeNumber();
      return connection.reason;
    case "refused":
      expectTypeOf(connection.code).toBeNumber();
      return connection.reason;
    case "connecting":
    case "catching_up":
      expectTypeOf(connection.transport).toEqualTypeOf<"websocket" | "sse" | "polling">();
      return "";
    case "live":
      expectTypeOf(connection.transport).toEqualTypeOf<"websocket" | "sse">();
      return "";
    case "polling":
    case "idle":
    case "closed":
      return "";
  }
}

export async function clients(client: Client): Promise<void> {
  createClient({ fetchToken: () => "token" });
  createClient({ fetchToken: ({ reason }) => Promise.resolve(reason satisfies "connect" | "expiring" | "expired") });
  // @ts-expect-error there is no such transport
  createClient({ transports: ["carrier pigeon"] });
  await client.signal("p", "cancel");
  // @ts-expect-error there is no such signal
  await client.signal("p", "explode");
  // @ts-expect-error that is a status of steps
  await client.plans({ status: "retrying" });
  const page = await client.plans();
  expectTypeOf(page.cursor).toEqualTypeOf<string | null>();
  expectTypeOf(page.plans).toEqualTypeOf<readonly PlanSummary[]>();
  await client.start("trip", { message: "Rome" }, { planId: "p" });
  try {
    await client.answer("p", "q", { anything: true });
  } catch (error) {
    if (error instanceof PlancastError) expectTypeOf(error.by).toEqualTypeOf<string | undefined>();
  }
}

export function useHooks(): void {
  expectTypeOf(usePlan("p")).toEqualTypeOf<PlanView>();
  expectTypeOf(usePlan("p", ({ snapshot }) => snapshot?.title)).toEqualTypeOf<string | undefined>();
  expectTypeOf(usePlanEvents("p", { types: ["artifact"] })).toEqualTypeOf<readonly EventFrame[]>();
  // @ts-expect-error there is no such event
  usePlanEvents("p", { types: ["rumour"] });
}
