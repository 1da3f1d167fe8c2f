/** The cost of 10,000 events: `npx vitest bench --run`. Each frame is a task of its own, as on a socket. */
import { bench, describe } from "vitest";
import { emptySnapshot, fold, type PlanEvent } from "../../src/client/index.js";
import { at, message, ScriptedHub } from "../scripted_hub.js";

const COUNT = 10_000;

const token = (index: number) => message("word ", { message_id: `m${Math.floor(index / 400)}`, append: true });

function step(index: number): PlanEvent {
  const data = { plan_id: "p", timestamp: at, step_id: `s${index % 50}`, status: "in_progress" as const };
  return { type: "step_update", data: { ...data, progress: index % 100 } };
}

const mixes: Readonly<Record<string, (index: number) => PlanEvent>> = {
  "tokens of 25 messages": token,
  "separate messages": () => message("a message of average length, such as agents publish"),
  "tokens and steps": (index) => (index % 5 ? token(index) : step(index)),
};

describe.each(Object.entries(mixes))("%s", (_, make) => {
  const events = Array.from({ length: COUNT }, (_, index) => make(index));

  bench("folded at once", () => void fold(emptySnapshot("p"), 1, events));

  bench("folded sixteen at a time", () => {
    let snapshot = emptySnapshot("p");
    for (let first = 0; first < COUNT; first += 16) {
      snapshot = fold(snapshot, first + 1, events.slice(first, first + 16));
    }
  });

  bench("through a client, from text to a plan that is watched", async () => {
    const hub = new ScriptedHub();
    const client = hub.client();
    await new Promise<void>((resolve) => {
      const store = client.plan("p");
      let begun = false;
      store.subscribe(() => {
        const { live, place } = store.getSnapshot();
        if (place?.offset === COUNT) resolve();
        if (live && !begun) {
          begun = true;
          hub.publish("p", ...events);
        }
      });
    });
    client.close();
  });
});
