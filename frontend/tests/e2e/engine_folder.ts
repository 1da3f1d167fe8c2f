import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A temporary folder for a hub's engine. Call `remove` after the hub has stopped. */
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
