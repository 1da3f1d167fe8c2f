import { inspect } from "node:util";

/** Waits until the state is as expected; fails with the last state after a timeout. */
export async function eventually<State>(
  look: () => State,
  isSo: (state: State) => boolean,
  withinMs = 120_000,
): Promise<State> {
  const until = Date.now() + withinMs;
  for (;;) {
    const state = look();
    if (isSo(state)) return state;
    if (Date.now() > until) throw new Error(`not within ${withinMs} ms: ${inspect(state).slice(0, 2_000)}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
