/** A redis-server for one test, on a free port, without persistence. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "./hub.js";

const READY_MS = 30_000;

export class Redis {
  readonly url: string;
  readonly #folder = mkdtempSync(join(tmpdir(), "plancast-redis-"));
  readonly #process: ChildProcess;

  private constructor(port: number) {
    this.url = `redis://127.0.0.1:${port}/0`;
    const where = ["--port", String(port), "--bind", "127.0.0.1", "--dir", this.#folder];
    this.#process = spawn("redis-server", [...where, "--save", "", "--appendonly", "no"], { stdio: "ignore" });
  }

  static async start(): Promise<Redis> {
    const port = await freePort();
    const redis = new Redis(port);
    const until = Date.now() + READY_MS;
    while (!(await answers(port))) {
      if (redis.#process.exitCode !== null || Date.now() > until) throw new Error("redis-server did not start");
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    return redis;
  }

  async close(): Promise<void> {
    const gone = new Promise((resolve) => this.#process.once("exit", resolve));
    if (this.#process.kill("SIGKILL")) await gone;
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1", () => socket.write("PING\r\n"));
    socket.once("data", (data) => {
      resolve(data.toString().startsWith("+PONG"));
      socket.destroy();
    });
    socket.once("error", () => resolve(false));
  });
}
