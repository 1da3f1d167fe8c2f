/** No view has a serious accessibility violation. */
import axe from "axe-core";
import { type Browser, chromium } from "playwright-core";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { EngineFolder } from "./engine_folder.js";
import { AUTH_SETTINGS } from "./tokens.js";
import { hubs, reach, type Scheme, VIEWS } from "./views.js";

const engine = new EngineFolder();
let browser: Browser;
let at: Awaited<ReturnType<typeof hubs>>;

beforeAll(async () => {
  [browser, at] = await Promise.all([chromium.connect(inject("browser")), hubs(engine, AUTH_SETTINGS)]);
});
afterAll(async () => {
  await browser.close();
  await at.close();
  engine.remove();
});

describe.each<Scheme>(["light", "dark"])("%s", (colorScheme) => {
  test.each(VIEWS)("$name", async (view) => {
    const viewport = view.only === "narrow" ? { width: 390, height: 844 } : { width: 1_440, height: 900 };
    const page = await reach(browser, at[view.hub].url, view, { colorScheme, viewport });
    await page.evaluate(axe.source);
    const found = await page.evaluate(async () => {
      const run = (globalThis as unknown as { readonly axe: typeof axe }).axe;
      // Fluent uses empty elements to manage the tab order; they never keep the focus.
      const context = { exclude: ["[data-tabster-dummy]"] };
      const { violations } = await run.run(context, {
        runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"],
      });
      return violations.map(({ id, impact, nodes }) => ({
        id,
        impact,
        where: nodes.slice(0, 3).map(({ html, failureSummary }) => `${html.slice(0, 200)} ${failureSummary ?? ""}`),
      }));
    });
    await page.context().close();
    expect(found.filter(({ impact }) => impact === "serious" || impact === "critical")).toEqual([]);
  });
});
