/** The pages of docs/clients, built from the documents' snippets, in a browser with a real hub of another origin. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { check } from "prettier";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { Hub } from "../hub/hub.js";
import { BuiltPage, example, ROOT, snippets } from "./built_pages.js";
import { converse } from "./conversations.js";
import { EngineFolder } from "./engine_folder.js";
import { Visits } from "./visits.js";

interface Package {
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly devDependencies: Readonly<Record<string, string>>;
}

const packageOf = (text: string) => JSON.parse(text) as Package;

let hub: Hub;
const engine = new EngineFolder();
const visits = new Visits();

beforeAll(async () => {
  hub = await Hub.start({ ...engine.settings, PLANCAST_PACE: "0.05" });
});
afterEach(() => visits.leave());
afterAll(async () => {
  await visits.close();
  await hub.close();
  engine.remove();
});

test("the examples use the packages that are tested, and one style", async () => {
  const [page, tests] = ["package.json", "tests/package.json"].map((name) =>
    packageOf(readFileSync(join(ROOT, "frontend", name), "utf8")),
  );
  const tested = { ...page?.devDependencies, ...tests?.devDependencies };
  for (const name of ["use_chat", "use_stream", "ag_ui", "durable_streams"]) {
    const { dependencies, devDependencies } = packageOf(example(`${name}/package.json`));
    const indirect = ["@langchain/core"]; // a peer of its SDK
    for (const [each, version] of Object.entries({ ...dependencies, ...devDependencies }))
      if (!indirect.includes(each)) expect([each, version]).toEqual([each, tested[each]]);
  }
  for (const name of ["use_stream", "ag_ui"]) expect(example(`${name}/style.css`)).toBe(example("use_chat/style.css"));
  const folder = join(ROOT, "examples");
  const paths = readdirSync(folder, { recursive: true, encoding: "utf8" }).map((name) => join(folder, name));
  const files = paths.filter((path) => /\.(?:tsx?|mjs|css|html)$/.test(path) && !/node_modules|dist/.test(path));
  expect(files.length).toBeGreaterThan(15);
  for (const filepath of files)
    expect([filepath, await check(readFileSync(filepath, "utf8"), { filepath, printWidth: 120 })]).toEqual([
      filepath,
      true,
    ]);
  expect(example("copilotkit/package-lock.json")).not.toContain('"resolved"');
});

test.each([
  { hook: "useChat", document: "ai-sdk.md", folder: "use_chat", connection: "chat.ts" },
  { hook: "useStream", document: "langgraph.md", folder: "use_stream", connection: "thread.ts" },
])("$hook: the page of $document", async ({ document, folder, connection }) => {
  const [connects = "", ...others] = snippets(document, "ts");
  const [main = ""] = snippets(document, "tsx");
  expect(others).toEqual([]);
  expect(connects).toBe(example(`${folder}/${connection}`));
  const page = await BuiltPage.from(folder, hub.url, { [connection]: connects, "main.tsx": main });
  await converse(page, hub, visits);
  await page.close();
});
