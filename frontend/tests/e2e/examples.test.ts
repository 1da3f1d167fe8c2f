/** The pages of docs/clients, built from the documents' snippets, in a browser with a real hub of another origin. */
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { Hub } from "../hub/hub.js";
import { BuiltPage, example, snippets } from "./built_pages.js";
import { converse } from "./conversations.js";
import { EngineFolder } from "./engine_folder.js";
import { Visits } from "./visits.js";

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
