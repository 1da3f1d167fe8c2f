import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

const at = (path: string) => fileURLToPath(new URL(path, import.meta.url));

/** What PLANCAST_E2E may name; `*.slow.test.ts` are the long proofs. */
const WANTED: Readonly<Record<string, readonly string[]>> = {
  everyday: ["tests/e2e/!(*.slow).test.ts"],
  all: ["tests/e2e/*.test.ts"],
  screenshots: ["tests/e2e/screenshots.ts"],
  speed: ["tests/e2e/speed.ts"],
};

/** The page in a real browser, with a real hub. */
export default defineConfig({
  test: {
    include: [...(WANTED[process.env["PLANCAST_E2E"] ?? "everyday"] ?? [])],
    environment: "node",
    globalSetup: at("tests/e2e/setup.ts"),
    fileParallelism: false,
    testTimeout: 150_000,
    hookTimeout: 120_000,
  },
});
