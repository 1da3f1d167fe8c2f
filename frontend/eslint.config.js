import { fileURLToPath } from "node:url";
import reactHooks from "eslint-plugin-react-hooks";
import tseslint from "typescript-eslint";
import { noRestrictedPaths } from "./eslint/layers.js";

const root = fileURLToPath(new URL("src", import.meta.url));

/** wire → client → react → page: each layer may import from those before it, and from `packages` (not set: any package). */
const layers = {
  wire: { from: [], packages: [] },
  client: { from: ["wire"], packages: [] },
  react: { from: ["wire", "client"], packages: ["react"] },
  page: { from: ["wire", "client", "react"] },
};

export default tseslint.config(
  { ignores: ["dist", "dist-page", "coverage", "node_modules"] },
  ...tseslint.configs.strictTypeChecked,
  {
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    plugins: { house: { rules: { "no-restricted-paths": noRestrictedPaths } } },
    rules: {
      "house/no-restricted-paths": ["error", { root, layers }],
      "max-lines": ["error", { max: 400 }],
      "max-lines-per-function": ["error", { max: 60, skipComments: true, skipBlankLines: true }],
      complexity: ["error", 15],
      "no-restricted-globals": ["error", "event", "name", "status"],
      "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true }],
      "@typescript-eslint/no-confusing-void-expression": ["error", { ignoreArrowShorthand: true }],
      "@typescript-eslint/switch-exhaustiveness-check": ["error", { considerDefaultExhaustiveForUnions: true }],
      "@typescript-eslint/consistent-type-imports": "error",
    },
  },
  {
    files: ["src/react/**", "src/page/**", "tests/react/**"],
    plugins: { "react-hooks": reactHooks },
    rules: reactHooks.configs.recommended.rules,
  },
  {
    // Runs anywhere: browser features come from the environment option.
    files: ["src/client/**"],
    ignores: ["src/client/environment.ts"],
    rules: {
      "no-restricted-globals": [
        "error",
        ..."window document navigator location globalThis WebSocket fetch setTimeout clearTimeout setInterval queueMicrotask crypto localStorage performance EventSource"
          .split(" ")
          .map((name) => ({ name, message: "Use the environment that is passed in." })),
      ],
      "no-restricted-properties": [
        "error",
        { object: "Date", property: "now", message: "Use the time that is passed in." },
        { object: "Math", property: "random", message: "Use the random function that is passed in." },
      ],
    },
  },
  {
    files: ["tests/**"],
    rules: { "max-lines": ["error", { max: 700 }], "max-lines-per-function": "off" },
  },
  { files: ["src/wire/frames.ts"], rules: { "max-lines": "off" } },
  { files: ["**/*.js"], extends: [tseslint.configs.disableTypeChecked] },
);
