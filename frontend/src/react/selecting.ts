import { useEffect, useMemo, useState, useSyncExternalStore } from "react";
import type { Store } from "../client/index.js";

/** What a selector takes from a store. It is the same, and nothing renders, as long as `isEqual` says so. */
export function useSelected<State, Selected>(
  store: Store<State>,
  selector: (state: State) => Selected,
  isEqual: (one: Selected, other: Selected) => boolean,
): Selected {
  const [shown] = useState(() => new Shown<Selected>());
  const getSelected = useMemo(() => selecting(store, selector, isEqual, shown), [store, selector, isEqual, shown]);
  const value = useSyncExternalStore(store.subscribe, getSelected, getSelected);
  useEffect(() => shown.set(value), [shown, value]);
  return value;
}

export function whole<State>(state: State): State {
  return state;
}

/** What a component shows now: kept from render to render, though its selector may be another function each time. */
class Shown<Selected> {
  last: { readonly value: Selected } | undefined;

  set(value: Selected): void {
    this.last = { value };
  }
}

function selecting<State, Selected>(
  store: Store<State>,
  selector: (state: State) => Selected,
  isEqual: (one: Selected, other: Selected) => boolean,
  shown: Shown<Selected>,
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
