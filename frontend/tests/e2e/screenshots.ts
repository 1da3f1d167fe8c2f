/** `npm run screenshots`: every view, light and dark, wide and narrow, into docs/screenshots. */
import { mkdirSync, statSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { type Browser, chromium } from "playwright-core";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { EngineFolder } from "./engine_folder.js";
import { AUTH_SETTINGS } from "./tokens.js";
import { hubs, reach, type Scheme, VIEWS } from "./views.js";

const FOLDER = fileURLToPath(new URL("../../../docs/screenshots/", import.meta.url));
const SIZES = { wide: { width: 1_440, height: 900 }, narrow: { width: 390, height: 844 } } as const;
const engine = new EngineFolder();
let browser: Browser;
let at: Awaited<ReturnType<typeof hubs>>;

beforeAll(async () => {
  mkdirSync(FOLDER, { recursive: true });
  [browser, at] = await Promise.all([chromium.connect(inject("browser")), hubs(engine, AUTH_SETTINGS)]);
});
afterAll(async () => {
  await browser.close();
  await at.close();
  engine.remove();
});

describe.each(["wide", "narrow"] as const)("%s", (size) => {
  describe.each<Scheme>(["light", "dark"])("%s", (colorScheme) => {
    test.each(VIEWS.filter(({ only }) => (only ?? size) === size))("$name", async (view) => {
      const page = await reach(browser, at[view.hub].url, view, { colorScheme, viewport: SIZES[size] });
      const path = `${FOLDER}${view.name}-${size}-${colorScheme}.png`;
      await page.screenshot({ path, animations: "disabled" });
      await page.context().close();
      expect(statSync(path).size).toBeLessThan(400 * 1_024);
    });
  });
});
