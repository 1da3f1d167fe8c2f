/** The page with `npm run dev`: React's development build, where StrictMode mounts everything twice. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, beforeAll, expect, test, vi } from "vitest";
import { createServer, type ViteDevServer } from "vite";
import { Hub } from "../hub/hub.js";
import { everythingOnce, live, messages, socketsOf, Visits } from "./visits.js";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const cacheDir = mkdtempSync(join(tmpdir(), "plancast-vite-"));
let hub: Hub;
let server: ViteDevServer;
const visits = new Visits();

beforeAll(async () => {
  hub = await Hub.start();
  vi.stubEnv("PLANCAST_HUB", hub.url);
  vi.stubEnv("NODE_ENV", "development");
  const configFile = `${ROOT}vite.config.ts`;
  server = await createServer({
    root: ROOT,
    configFile,
    cacheDir,
    logLevel: "error",
    server: { port: 0, host: "127.0.0.1" },
  });
  await server.listen();
});
afterEach(() => visits.leave());
afterAll(async () => {
  await visits.close();
  await server.close();
  await hub.close();
  rmSync(cacheDir, { recursive: true, force: true });
});

test("mounted twice, it has one socket and shows everything once", async () => {
  const url = server.resolvedUrls?.local[0] ?? "";
  await hub.publish("strict", messages(1, 5));
  const page = await visits.visit(`${url}plan/strict`);
  await page.getByRole("heading", { name: "strict" }).waitFor({ timeout: 120_000 }); // modules are compiled on request
  await live(page);
  await everythingOnce(page, 5);
  await hub.publish("strict", messages(6, 8));
  await everythingOnce(page, 8);
  expect(await socketsOf(hub)).toBe(1);
});
