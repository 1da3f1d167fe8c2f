import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { defineConfig, type Plugin } from "vitest/config";

const at = (path: string) => fileURLToPath(new URL(path, import.meta.url));

/** Makes the README's tsx example importable as `readme:example.tsx`. */
const readme: Plugin = {
  name: "readme-example",
  enforce: "pre",
  resolveId: (id) => (id === "readme:example.tsx" ? at("readme-example.tsx") : undefined),
  load: (id) => (id === at("readme-example.tsx") ? example() : undefined),
};

function example(): string | undefined {
  return /```tsx\n(.*?)```/s.exec(readFileSync(at("README.md"), "utf8"))?.[1];
}

/** Generous, for busy machines. */
const deadlines = { testTimeout: 300_000, hookTimeout: 300_000 };

export default defineConfig({
  test: {
    // The tests mostly wait for other processes.
    maxWorkers: 3,
    projects: [
      {
        test: { name: "client", include: ["tests/{wire,client}/**/*.test.ts"], environment: "node", ...deadlines },
      },
      {
        plugins: [readme],
        resolve: { alias: { "plancast/react": at("src/react/index.ts") } },
        test: {
          name: "react",
          include: ["tests/{react,page}/**/*.test.{ts,tsx}"],
          setupFiles: [at("tests/react/setup.ts")],
          environment: "happy-dom",
          // Node.js can't import the icons' ES modules, which name each other without extensions.
          deps: {
            optimizer: { client: { enabled: true, include: ["@fluentui/react-components", "@fluentui/react-icons"] } },
          },
          ...deadlines,
        },
      },
      {
        test: {
          name: "outside",
          include: ["tests/{hub,package,clients}/**/!(*.slow).test.ts"],
          environment: "node",
          ...deadlines,
        },
      },
    ],
  },
});
