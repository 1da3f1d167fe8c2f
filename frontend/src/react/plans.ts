import { useMemo, useSyncExternalStore } from "react";
import type { Connection, EventFrame, EventType, PlanQuery, PlanView } from "../client/index.js";
import { PlanList, type PlanListView } from "./plan_list.js";
import { useClient } from "./provider.js";
import { useSelected, whole } from "./selecting.js";

/** Watches a plan. Renders again when it changed; with a selector, only when what that takes did. */
export function usePlan(planId: string): PlanView;
export function usePlan<Selected>(
  planId: string,
  selector: (view: PlanView) => Selected,
  isEqual?: (one: Selected, other: Selected) => boolean,
): Selected;
export function usePlan(
  planId: string,
  selector?: (view: PlanView) => unknown,
  isEqual: (one: unknown, other: unknown) => boolean = Object.is,
): unknown {
  return useSelected(useClient().plan(planId), selector ?? whole, isEqual);
}

/** The connection's state, or what a selector takes from it. */
export function useConnection(): Connection;
export function useConnection<Selected>(
  selector: (connection: Connection) => Selected,
  isEqual?: (one: Selected, other: Selected) => boolean,
): Selected;
export function useConnection(
  selector: (connection: Connection) => unknown = whole,
  isEqual: (one: unknown, other: unknown) => boolean = Object.is,
): unknown {
  return useSelected(useClient().connection, selector, isEqual);
}

export interface EventsOptions {
  /** How many; all that the client keeps (`historyLimit`). */
  readonly limit?: number;
  /** Only these types. */
  readonly types?: readonly EventType[];
}

/** The newest events of a plan as they came since somebody watches it, oldest first. (`client.events` has its past.) */
export function usePlanEvents(planId: string, { limit = Infinity, types }: EventsOptions = {}): readonly EventFrame[] {
  const { subscribe, recent } = useClient().plan(planId);
  const store = useMemo(() => ({ subscribe, getSnapshot: recent }), [subscribe, recent]);
  const newest = (events: readonly EventFrame[]) => {
    const wanted = types ? events.filter(({ type }) => types.includes(type)) : events;
    return wanted.length > limit ? wanted.slice(-limit) : wanted;
  };
  return useSelected(store, newest, sameItems);
}

export interface PlanListing extends PlanListView {
  readonly loadMore: () => void;
  readonly refresh: () => void;
}

export interface ListOptions {
  readonly refreshMs?: number;
}

/** The plans there are, asked for again every `refreshMs` (5 s) while the page is seen. */
export function usePlanList(query: PlanQuery = {}, { refreshMs = 5_000 }: ListOptions = {}): PlanListing {
  const client = useClient();
  const { owner, label, status, cursor, limit } = query;
  const list = useMemo(
    () => new PlanList(client, { owner, label, status, cursor, limit }, refreshMs),
    [client, owner, label, status, cursor, limit, refreshMs],
  );
  const view = useSyncExternalStore(list.subscribe, list.getSnapshot, list.getSnapshot);
  return useMemo(() => ({ ...view, loadMore: list.loadMore, refresh: list.refresh }), [view, list]);
}

function sameItems<Item>(one: readonly Item[], other: readonly Item[]): boolean {
  return one.length === other.length && one.every((item, at) => item === other[at]);
}
