import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

const at = (path: string) => fileURLToPath(new URL(path, import.meta.url));

/** The files for each value of PLANCAST_E2E; `*.slow.test.ts` are the long tests. */
const FILES: Readonly<Record<string, readonly string[]>> = {
  everyday: ["tests/e2e/!(*.slow).test.ts"],
  all: ["tests/e2e/*.test.ts", "tests/clients/*.slow.test.ts"],
  screenshots: ["tests/e2e/screenshots.ts"],
  speed: ["tests/e2e/speed.ts"],
};

/** Tests of the page in a real browser, with a real hub. */
export default defineConfig({
  test: {
    include: [...(FILES[process.env["PLANCAST_E2E"] ?? "everyday"] ?? [])],
    environment: "node",
    globalSetup: at("tests/e2e/setup.ts"),
    fileParallelism: false,
    testTimeout: 300_000,
    hookTimeout: 300_000,
    expect: { poll: { timeout: 30_000 } },
  },
});
