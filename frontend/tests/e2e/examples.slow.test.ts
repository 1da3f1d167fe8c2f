/** The example pages of all clients in React, in a browser with a real hub of another origin. */
import { execFileSync, spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { eventually } from "../eventually.js";
import { Hub } from "../hub/hub.js";
import { BuiltPage, example, snippets, HUB, useTestedPackages } from "./built_pages.js";
import { cancel, converse, restart } from "./conversations.js";
import { EngineFolder } from "./engine_folder.js";
import { Visits } from "./visits.js";

/** For busy machines: packages are installed and compiled. */
const MINUTES_15 = 900_000;

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

/** With the compiler of the example's own packages. */
function compile({ folder }: BuiltPage): void {
  execFileSync("node_modules/.bin/tsc", { cwd: folder, stdio: "pipe" });
}

test.each(["use_chat", "use_stream", "ag_ui"])(
  "%s: two tabs, cancelled, restarted",
  { timeout: MINUTES_15 },
  async (folder) => {
    const page = await BuiltPage.from(folder, hub.url);
    compile(page);
    await converse(page, hub, visits, "focus");
    await converse(page, hub, visits, "answer");
    await cancel(page, hub, visits, (tab) => tab.getByRole("button", { name: "Cancel" }));
    await restart(page, hub, visits);
    await page.close();
  },
);

test("the pages of the documents compile", { timeout: MINUTES_15 }, async () => {
  for (const [document, folder] of [
    ["ai-sdk.md", "use_chat"],
    ["langgraph.md", "use_stream"],
    ["ag-ui.md", "ag_ui"],
  ] as const) {
    const [main = ""] = snippets(document, "tsx");
    const page = await BuiltPage.from(folder, hub.url, { "main.tsx": main });
    compile(page);
    await page.close();
  }
});

test("HttpAgent: the page of ag-ui.md", async () => {
  const [connects] = snippets("ag-ui.md", "ts");
  const [main = ""] = snippets("ag-ui.md", "tsx");
  expect(connects).toBe(example("ag_ui/agent.ts"));
  const page = await BuiltPage.from("ag_ui", hub.url, { "main.tsx": main });
  await converse(page, hub, visits);
  await page.close();
});

describe("CopilotKit, with its packages from its lock file", () => {
  let page: BuiltPage;
  const install = (folder: string) => {
    execFileSync("npm", ["ci", "--prefer-offline"], { cwd: folder, stdio: "pipe" });
  };

  beforeAll(async () => {
    page = await BuiltPage.from("copilotkit", hub.url, {}, install);
  }, MINUTES_15);
  afterAll(() => page.close());

  test("the example: two tabs that both answer", { timeout: MINUTES_15 }, async () => {
    compile(page);
    await converse(page, hub, visits, "answer");
  });

  test("the stop button cancels", { timeout: MINUTES_15 }, async () => {
    const folder = new EngineFolder();
    // Agents so slow that they are at work when the button is clicked: it is disabled while they wait for an answer.
    const slow = await Hub.start({ ...folder.settings, PLANCAST_PACE: "10" });
    const there = await BuiltPage.from("copilotkit", slow.url, {}, page.lend);
    await cancel(there, slow, visits, (tab) => tab.getByTestId("copilot-send-button"));
    await there.close();
    await slow.close();
    folder.remove();
  });

  test("the page of ag-ui.md", { timeout: MINUTES_15 }, async () => {
    const [, main = ""] = snippets("ag-ui.md", "tsx");
    const short = await BuiltPage.from("copilotkit", hub.url, { "main.tsx": main }, page.lend);
    compile(short);
    await converse(short, hub, visits);
    await short.close();
  });
});

test("Durable Streams: an agent, and a reader that is killed and started again", async () => {
  const folder = mkdtempSync(join(tmpdir(), "plancast-streams-"));
  useTestedPackages(folder);
  const [reader = "", agent = ""] = snippets("durable-streams.md", "js");
  expect([reader, agent]).toEqual([example("durable_streams/reader.mjs"), example("durable_streams/agent.mjs")]);
  writeFileSync(join(folder, "reader.mjs"), reader.replaceAll(HUB, hub.url));
  writeFileSync(join(folder, "agent.mjs"), agent.replaceAll(HUB, hub.url));
  const start = (script: string) => {
    const program = spawn(process.execPath, [script, "plan-1"], { cwd: folder, stdio: ["ignore", "pipe", "inherit"] });
    return { program, ended: new Promise((resolve) => program.once("exit", resolve)) };
  };
  /** Reads until the printed events are as expected and an offset is saved, and kills the reader. */
  const read = async (enough: (offsets: readonly number[]) => boolean): Promise<readonly number[]> => {
    const { program, ended } = start("reader.mjs");
    let text = "";
    program.stdout.setEncoding("utf8").on("data", (more: string) => (text += more));
    const offsets = () =>
      text
        .split("\n")
        .slice(0, -1)
        .map((line) => Number.parseInt(line));
    await eventually(offsets, (read) => enough(read) && existsSync(join(folder, "plan-1.offset")));
    program.kill("SIGKILL");
    await ended;
    return offsets();
  };
  const { ended } = start("agent.mjs");
  /** False also if the hub has just closed the idle connection of an earlier request. */
  const begun = () =>
    fetch(`${hub.url}/streams/plan-1`, { method: "HEAD" }).then(
      ({ ok }) => ok,
      () => false,
    );
  while (!(await begun()));
  const first = await read(({ length }) => length >= 2);
  const second = first.includes(5) ? [] : await read((offsets) => offsets.includes(5));
  expect(await ended).toBe(0);
  expect(second).not.toContain(1);
  // A batch that was printed just before the kill, but not yet saved, is printed again.
  expect([...new Set([...first, ...second])]).toEqual([1, 2, 3, 4, 5]);
  rmSync(folder, { recursive: true });
});
