/** The lint rule for the layers wire → client → react → page finds violations. */
import { ESLint, RuleTester } from "eslint";
import tseslint from "typescript-eslint";
import { describe, expect, test } from "vitest";
import { noRestrictedPaths } from "../../eslint/layers.js";

const layers = {
  wire: { from: [], packages: [] },
  client: { from: ["wire"], packages: [] },
  react: { from: ["wire", "client"], packages: ["react"] },
  page: { from: ["wire", "client", "react"] },
};
const options = [{ root: "/src", layers }];
const at = (filename: string, code: string) => ({ filename, code, options });
const bad = (filename: string, code: string, messageId: string) => ({ ...at(filename, code), errors: [{ messageId }] });

RuleTester.describe = describe;
RuleTester.it = test;

new RuleTester({ languageOptions: { parser: tseslint.parser } }).run("no-restricted-paths", noRestrictedPaths, {
  valid: [
    at("/src/client/core/a.ts", 'import { b } from "../fold/b.js";'),
    at("/src/client/a.ts", 'import type { b } from "../wire/index.js";'),
    at("/src/react/a.ts", 'import { useState } from "react"; export * from "../client/index.js";'),
    at("/src/react/a.ts", 'import { jsx } from "react/jsx-runtime";'),
    at("/src/page/a.tsx", 'import { Button } from "@fluentui/react-components"; import "../react/index.js";'),
    at("/tests/a.ts", 'import "../src/client/index.js"; import "vitest";'),
  ],
  invalid: [
    bad("/src/wire/a.ts", 'import type { b } from "../client/index.js";', "layer"),
    bad("/src/client/core/a.ts", 'export { b } from "../../react/b.js";', "layer"),
    bad("/src/client/a.ts", 'import { useState } from "react";', "package"),
    bad("/src/client/a.ts", 'const late = import("../page/b.js");', "layer"),
    bad("/src/client/a.ts", 'type B = import("../react/b.js").B;', "layer"),
    bad("/src/react/a.ts", 'export * from "../page/b.js";', "layer"),
    bad("/src/react/a.ts", 'import { Button } from "@fluentui/react-components";', "package"),
    bad("/src/react/a.ts", 'import { x } from "reactive";', "package"),
  ],
});

test("the layers above are those of eslint.config.js", async () => {
  const config = (await new ESLint().calculateConfigForFile("src/client/client.ts")) as { readonly rules: Rules };
  expect(config.rules["house/no-restricted-paths"]).toMatchObject([2, { layers }]);
});

type Rules = Readonly<Record<string, unknown>>;
