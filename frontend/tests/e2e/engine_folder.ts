import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Where a hub's engine keeps its own, for as long as a test. `remove` it when the hub is gone. */
export class EngineFolder {
  readonly #folder = mkdtempSync(join(tmpdir(), "plancast-engine-"));

  get settings(): Readonly<Record<string, string>> {
    const database = `sqlite:///${join(this.#folder, "engine.db")}`;
    return { PLANCAST_ENGINE: "embedded", PLANCAST_PACE: "0", PLANCAST_ENGINE_DB: database };
  }

  remove(): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
