/** The npm package as a user gets it: packed, installed in an app, compiled, built and run there. */
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";
import { preview } from "vite";
import { afterAll, beforeAll, expect, test } from "vitest";
import { freePort, Hub, message } from "../hub/hub.js";

const CHROMIUM = process.env["CHROMIUM"] ?? "/usr/bin/chromium";
const QUIET = "--disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update";
const frontend = fileURLToPath(new URL("../../", import.meta.url));
const readme = readFileSync(join(frontend, "README.md"), "utf8");
let app = "";

function run(command: string, ...args: readonly string[]): string {
  return execFileSync(command, args, { cwd: app, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
}

function devDependencies(manifest: string): Record<string, string> {
  const about = JSON.parse(readFileSync(join(frontend, manifest), "utf8")) as {
    devDependencies: Record<string, string>;
  };
  return about.devDependencies;
}

const tool = (name: string) => join(app, "node_modules/.bin", name);

beforeAll(() => {
  app = mkdtempSync(join(tmpdir(), "plancast-app-"));
  execFileSync("npm", ["run", "--silent", "build:lib"], { cwd: frontend, stdio: "pipe" });
  execFileSync("npm", ["pack", "--silent", "--pack-destination", app], { cwd: frontend, stdio: "pipe" });
  const [packed = ""] = readdirSync(app).filter((name) => name.endsWith(".tgz"));
  const ours = { ...devDependencies("package.json"), ...devDependencies("tests/package.json") };
  const needed = ["react", "react-dom", "@types/react", "@types/react-dom", "@types/node", "typescript", "vite"];
  const dependencies = { plancast: `file:${packed}`, ...Object.fromEntries(needed.map((name) => [name, ours[name]])) };
  writeFileSync(join(app, "package.json"), JSON.stringify({ private: true, type: "module", dependencies }));
  run("npm", "install", "--prefer-offline", "--ignore-scripts", "--no-audit", "--no-fund");
});
afterAll(() => rmSync(app, { recursive: true, force: true }));

function block(language: string): string {
  return new RegExp(`\`\`\`${language}\\n(.*?)\`\`\``, "s").exec(readme)?.[1] ?? "";
}

test("the README's examples compile where the package is installed", () => {
  const [page, script] = [block("tsx"), block("ts")];
  writeFileSync(join(app, "page.tsx"), page);
  writeFileSync(join(app, "script.ts"), script);
  // With the strictest settings; the next test uses a bundler.
  const how = ["--module", "nodenext", "--target", "es2022", "--lib", "es2022,dom", "--jsx", "react-jsx"];
  run(tool("tsc"), "--noEmit", "--strict", ...how, "page.tsx", "script.ts");
});

test.skipIf(!existsSync(CHROMIUM))("a page of at most ten lines shows a live plan in a browser", async () => {
  const page = await freePort();
  const hub = await Hub.start({ PLANCAST_ORIGINS: `http://127.0.0.1:${page}` });
  const main = [
    `import { createRoot } from "react-dom/client";`,
    block("tsx").replace("http://localhost:8000", hub.url).trim(),
    `createRoot(document.body).render(<App />);`,
  ].join("\n");
  expect(main.split("\n").filter((line) => line.trim()).length).toBeLessThanOrEqual(10);
  writeFileSync(join(app, "main.tsx"), main);
  writeFileSync(join(app, "tsconfig.json"), '{"compilerOptions":{"jsx":"react-jsx"}}');
  writeFileSync(join(app, "index.html"), '<script type="module" src="/main.tsx"></script>');
  run(tool("vite"), "build");
  const server = await preview({ root: app, preview: { port: page, strictPort: true, host: "127.0.0.1" } });
  const browser = await chromium.launch({ executablePath: CHROMIUM, args: ["--no-sandbox", ...QUIET.split(" ")] });
  try {
    const tab = await browser.newPage();
    await tab.goto(`http://127.0.0.1:${page}/`);
    await tab.getByText("plan-1: pending · live").waitFor();
    await hub.publish("plan-1", [{ type: "plan_update", data: { title: "Trip to Rome" } }, message("Looking…")]);
    await tab.getByText("Trip to Rome: in_progress · live").waitFor();
    expect(await tab.evaluate("document.body.innerText")).toBe("Trip to Rome: in_progress · live");
  } finally {
    await browser.close();
    await server.close();
    await hub.close();
  }
});

test("it runs in plain Node, where hooks and client share one module", () => {
  const script = `
    import { createClient, PlancastError, fold, emptySnapshot, isPlanEnded } from "plancast";
    import { createElement } from "react";
    import { renderToString } from "react-dom/server";
    import { PlancastProvider, usePlan } from "plancast/react";
    const client = createClient({ url: "http://127.0.0.1:1" });
    const Shown = () => usePlan("p").phase;
    console.log(renderToString(createElement(PlancastProvider, { client }, createElement(Shown))));
    try { await client.plans(); } catch (error) { console.log(error instanceof PlancastError, error.code); }
    console.log(fold(emptySnapshot("p"), 1, [null]).offset, isPlanEnded("completed"));
  `;
  writeFileSync(join(app, "run.mjs"), script);
  expect(run(process.execPath, "run.mjs").trim().split("\n")).toEqual(["waiting", "true network", "1 true"]);
});

test("the package has no sources, tests or dependencies", () => {
  const unpacked = join(app, "node_modules/plancast");
  expect(readdirSync(unpacked).sort()).toEqual(["LICENSE", "README.md", "dist", "package.json"]);
  const about = JSON.parse(readFileSync(join(unpacked, "package.json"), "utf8")) as Record<string, unknown>;
  expect(about).toMatchObject({ sideEffects: false, peerDependencies: { react: ">=18" } });
  expect(about["dependencies"]).toBeUndefined();
  const modules = readdirSync(join(unpacked, "dist")).filter((name) => name.endsWith(".js"));
  expect(modules.sort()).toEqual(["client.js", "fallback.js", "index.js", "react.js"]);
});

test("each module has a source map that contains its sources", () => {
  const dist = join(app, "node_modules/plancast/dist");
  // index.js is left out: it only re-exports names of client.js.
  for (const name of ["client.js", "fallback.js", "react.js"]) {
    expect(readFileSync(join(dist, name), "utf8")).toContain(`//# sourceMappingURL=${name}.map`);
    const map = JSON.parse(readFileSync(join(dist, `${name}.map`), "utf8")) as Record<string, readonly string[]>;
    expect(map["sourcesContent"]).toHaveLength(map["sources"]?.length ?? -1);
  }
});

test("the lock file names no registry", () => {
  const lock = readFileSync(join(frontend, "package-lock.json"), "utf8");
  expect(lock.match(/"resolved": .*/g)).toEqual(['"resolved": "tests",']);
  expect(lock).not.toContain('"hasInstallScript"');
});
