import { fileURLToPath } from "node:url";
import reactHooks from "eslint-plugin-react-hooks";
import tseslint from "typescript-eslint";
import { noRestrictedPaths } from "./eslint/rooms.js";

const root = fileURLToPath(new URL("src", import.meta.url));

/** wire → client → react → page: each may import from those before it; `packages` are all it may import besides (without: any). */
const rooms = {
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
      "house/no-restricted-paths": ["error", { root, rooms }],
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
    // What runs anywhere: nothing of a browser but what is handed in.
    files: ["src/client/**"],
    ignores: ["src/client/environment.ts"],
    rules: {
      "no-restricted-globals": [
        "error",
        ..."window document navigator location globalThis WebSocket fetch setTimeout clearTimeout setInterval queueMicrotask crypto localStorage performance EventSource"
          .split(" ")
          .map((name) => ({ name, message: "Take it from the environment that is handed in." })),
      ],
      "no-restricted-properties": [
        "error",
        { object: "Date", property: "now", message: "Time is handed in." },
        { object: "Math", property: "random", message: "Randomness is handed in." },
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
