/** A real hub that runs plans from its own templates, with a database of its own for them. */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Hub } from "../hub/hub.js";

export async function startEngineHub(): Promise<Hub> {
  const database = `sqlite:///${join(mkdtempSync(join(tmpdir(), "plancast-engine-")), "engine.db")}`;
  const hub = await Hub.start({ PLANCAST_ENGINE: "embedded", PLANCAST_ENGINE_DB: database, PLANCAST_PACE: "0.1" });
  await untilReady(hub);
  return hub;
}

/** Waits until it has opened its log and its engine. */
export async function untilReady(hub: Hub): Promise<void> {
  const isReady = () =>
    fetch(`${hub.url}/readyz`).then(
      (response) => response.ok,
      () => false,
    );
  while (!(await isReady())) await new Promise((resolve) => setTimeout(resolve, 50));
}
