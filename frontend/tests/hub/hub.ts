/** A real hub for tests: a separate process with SQLite in a temporary folder. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { PlanEvent } from "../../src/client/index.js";

const ROOT = fileURLToPath(new URL("../../../", import.meta.url));
const READY_MS = 90_000;

export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (typeof address !== "object" || !address) throw new Error("no free port");
  return address.port;
}

export class Hub {
  readonly port: number;
  readonly url: string;
  readonly #folder = mkdtempSync(join(tmpdir(), "plancast-hub-"));
  readonly #settings: Readonly<Record<string, string>>;
  #process: ChildProcess | undefined;
  #output = "";

  private constructor(port: number, settings: Readonly<Record<string, string>>) {
    this.port = port;
    this.url = `http://127.0.0.1:${port}`;
    this.#settings = settings;
  }

  static async start(settings: Readonly<Record<string, string>> = {}): Promise<Hub> {
    const hub = new Hub(await freePort(), settings);
    await hub.begin();
    return hub;
  }

  /** Starts it, or restarts it with the same data. */
  async begin(): Promise<void> {
    const log = `sqlite:///${join(this.#folder, "plans.db")}`;
    // Without an engine it starts five times faster.
    const database = `sqlite:///${join(this.#folder, "engine.db")}`;
    const own = { PLANCAST_ENGINE: "off", PLANCAST_ENGINE_DB: database, PLANCAST_LOG: log };
    const env = { ...process.env, ...own, ...this.#settings };
    const command = ["-m", "hub", "serve", "--port", String(this.port)];
    const hub = spawn(join(ROOT, ".venv/bin/python"), command, { cwd: ROOT, env, stdio: ["ignore", "pipe", "pipe"] });
    this.#process = hub;
    for (const stream of [hub.stdout, hub.stderr])
      stream.on("data", (text: Buffer) => (this.#output += text.toString()));
    const until = Date.now() + READY_MS;
    while (!(await this.#answers())) {
      if (hub.exitCode !== null || Date.now() > until) throw new Error(`the hub did not start: ${this.#output}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  /** Stops it with this signal. */
  async end(signal: "SIGTERM" | "SIGKILL" = "SIGTERM"): Promise<void> {
    const hub = this.#process;
    if (hub?.exitCode !== null || hub.signalCode !== null) return;
    const gone = new Promise((resolve) => hub.once("exit", resolve));
    hub.kill(signal);
    await gone;
  }

  async close(): Promise<void> {
    await this.end("SIGKILL");
    rmSync(this.#folder, { recursive: true, force: true });
  }

  /** Publishes events to a plan, as an agent does. */
  async publish(planId: string, events: readonly LooseEvent[], token?: string): Promise<void> {
    const response = await fetch(`${this.url}/api/plans/${planId}/events`, {
      method: "POST",
      headers: { "Content-Type": "application/json", ...(token && { Authorization: `Bearer ${token}` }) },
      body: JSON.stringify({ events }),
    });
    if (response.status !== 201) throw new Error(`${response.status} ${await response.text()}`);
  }

  async #answers(): Promise<boolean> {
    return fetch(`${this.url}/healthz`).then(
      (response) => response.ok,
      () => false,
    );
  }
}

/** An event as agents publish it: fields with a default may be left out. */
export interface LooseEvent {
  readonly type: PlanEvent["type"];
  readonly data: object;
}

export function message(content: string): LooseEvent {
  return { type: "agent_message", data: { agent_name: "Data Analyst", content } };
}
