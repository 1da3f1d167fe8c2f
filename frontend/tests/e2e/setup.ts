/** Global setup: builds the page, and starts one Chromium for all tests. */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { build } from "vite";
import type { TestProject } from "vitest/node";
import { launch } from "./chromium.js";

declare module "vitest" {
  interface ProvidedContext {
    readonly browser: string;
  }
}

const ROOT = fileURLToPath(new URL("../../", import.meta.url));

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  if (spawnSync("redis-server", ["--version"]).status !== 0) throw new Error("redis-server must be on the PATH");
  await build({ root: ROOT, configFile: `${ROOT}vite.config.ts`, logLevel: "error" });
  const browser = await launch();
  project.provide("browser", browser.wsEndpoint());
  return () => browser.close();
}
