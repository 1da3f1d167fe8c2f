import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    projects: [
      { test: { name: "client", include: ["tests/{wire,client,package}/**/*.test.ts"], environment: "node" } },
      { test: { name: "react", include: ["tests/react/**/*.test.tsx"], environment: "happy-dom" } },
      {
        test: {
          name: "hub",
          include: ["tests/hub/**/*.test.ts"],
          environment: "node",
          testTimeout: 60_000,
          hookTimeout: 60_000,
        },
      },
    ],
    testTimeout: 20_000,
  },
});
