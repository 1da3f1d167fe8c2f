import { useEffect, useMemo, useState, useSyncExternalStore } from "react";
import type { Connection, EventFrame, EventType, PlanQuery, PlanView, Store } from "../client/index.js";
import { PlanList, type PlanListView } from "./plan_list.js";
import { useClient } from "./provider.js";

/**
 * Watches a plan while the component is mounted, and re-renders with each change of it.
 *
 * @example
 * ```tsx
 * const { snapshot, live } = usePlan("plan-1");
 * ```
 */
export function usePlan(planId: string): PlanView;
/**
 * Watches a plan, and re-renders when the selected value changes.
 *
 * @param selector - Selects a value from the plan's view.
 * @param isEqual - Whether two selected values are equal; default `Object.is`.
 * @example
 * ```tsx
 * const title = usePlan("plan-1", ({ snapshot }) => snapshot?.title);
 * ```
 */
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

/** The state of the connection. */
export function useConnection(): Connection;
/** A value selected from the state of the connection; re-renders when that value changes. */
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

/** The options of `usePlanEvents`. */
export interface EventsOptions {
  /** The number of events; default: all that the client keeps (`historyLimit`). */
  readonly limit?: number;
  /** The event types to include; default: all. */
  readonly types?: readonly EventType[];
}

/** The newest events of a plan received since it is watched, oldest first. For its history, see `client.events()`. */
export function usePlanEvents(planId: string, { limit = Infinity, types }: EventsOptions = {}): readonly EventFrame[] {
  const { subscribe, recent } = useClient().plan(planId);
  const store = useMemo(() => ({ subscribe, getSnapshot: recent }), [subscribe, recent]);
  const newest = (events: readonly EventFrame[]) => {
    const wanted = types ? events.filter(({ type }) => types.includes(type)) : events;
    return wanted.length > limit ? wanted.slice(-limit) : wanted;
  };
  return useSelected(store, newest, sameItems);
}

/** The result of `usePlanList`. */
export interface PlanListing extends PlanListView {
  /** Loads another page of plans into the list. */
  readonly loadMore: () => void;
  /** Reloads the list now. */
  readonly refresh: () => void;
}

/** The options of `usePlanList`. */
export interface ListOptions {
  /** The refresh interval; default 5000. */
  readonly refreshMs?: number;
}

/**
 * A list of plans, refreshed every `refreshMs` while the page is visible.
 *
 * @param query - Filters and the page size; see `client.plans()`.
 */
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

/** A value selected from a store. The component re-renders only when `isEqual` returns false for it. */
function useSelected<State, Selected>(
  store: Store<State>,
  selector: (state: State) => Selected,
  isEqual: (one: Selected, other: Selected) => boolean,
): Selected {
  const [shown] = useState(() => new LastValue<Selected>());
  const getSelected = useMemo(() => selecting(store, selector, isEqual, shown), [store, selector, isEqual, shown]);
  const value = useSyncExternalStore(store.subscribe, getSelected, getSelected);
  useEffect(() => shown.set(value), [shown, value]);
  return value;
}

function whole<State>(state: State): State {
  return state;
}

/** The value that a component shows, kept across renders in which the selector is a new function. */
class LastValue<Selected> {
  last: { readonly value: Selected } | undefined;

  set(value: Selected): void {
    this.last = { value };
  }
}

function selecting<State, Selected>(
  store: Store<State>,
  selector: (state: State) => Selected,
  isEqual: (one: Selected, other: Selected) => boolean,
  shown: LastValue<Selected>,
): () => Selected {
  let last: { readonly state: State; readonly value: Selected } | undefined;
  return () => {
    const state = store.getSnapshot();
    if (last && last.state === state) return last.value;
    const known = last ?? shown.last;
    const fresh = selector(state);
    const value = known && isEqual(known.value, fresh) ? known.value : fresh;
    last = { state, value };
    return value;
  };
}
