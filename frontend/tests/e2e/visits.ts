/** People who look at the page: each in a browser context of its own, all in the one Chromium. */
import { type Browser, type BrowserContext, type BrowserContextOptions, chromium, type Page } from "playwright-core";
import { expect, inject } from "vitest";
import { type Hub, type LooseEvent, message } from "../hub/hub.js";

/** What a browser says by itself when the network goes, is slow, or says no: weather, not a fault of the page; and a word of
 * Fluent's that Chromium will not know for ever. */
const NETWORK_ERRORS = /ERR_|Failed to load resource|WebSocket connection|EventSource|slider-vertical/;

/** So high that a plan of the tests is in view as a whole: what isn't in view isn't in the document. */
export const TALL = { width: 1280, height: 5_000 };

export class Visits {
  #browser: Browser | undefined;
  readonly #contexts: BrowserContext[] = [];
  readonly #errors: string[] = [];

  async context(options: BrowserContextOptions = {}): Promise<BrowserContext> {
    this.#browser ??= await chromium.connect(inject("browser"));
    const context = await this.#browser.newContext({ viewport: TALL, reducedMotion: "reduce", ...options });
    context.setDefaultTimeout(40_000);
    context.on("page", (page) => this.#listen(page));
    this.#contexts.push(context);
    return context;
  }

  async visit(address: string, options: BrowserContextOptions = {}): Promise<Page> {
    const page = await (await this.context(options)).newPage();
    await page.goto(address);
    return page;
  }

  /** After each test: everybody leaves, and nothing may have gone wrong in the page. */
  async leave(): Promise<void> {
    await Promise.all(this.#contexts.splice(0).map((context) => context.close()));
    expect(this.#errors.splice(0)).toEqual([]);
  }

  async close(): Promise<void> {
    await this.#browser?.close();
  }

  #listen(page: Page): void {
    page.on("pageerror", (error) => this.#errors.push(String(error)));
    page.on("console", (message) => {
      const bad = message.type() === "error" || message.type() === "warning";
      if (bad && !NETWORK_ERRORS.test(message.text())) this.#errors.push(message.text());
    });
  }
}

export const LIVE = "Real-time updates active";

/** The tag says that all is current. */
export async function live(page: Page): Promise<void> {
  await page.getByText(LIVE, { exact: true }).waitFor();
}

/** "message 4." to "message 9.": words that can be counted. */
export function messages(from: number, to: number): readonly LooseEvent[] {
  return Array.from({ length: to - from + 1 }, (_, at) => message(`message ${from + at}.`));
}

/** Which of these words the conversation shows, in order, as often as it does: "said 1", "said 2" … */
export async function shown(page: Page): Promise<readonly number[]> {
  const text = await page.locator("[data-conversation]").innerText();
  return [...text.matchAll(/message (\d+)\./g)].map(([, number]) => Number(number));
}

/** Waits until the conversation has come to this word; then every one from the first is there, once, in order. */
export async function everythingOnce(page: Page, upTo: number): Promise<void> {
  await page.locator("[data-conversation]").getByText(`message ${upTo}.`).first().waitFor();
  expect(await shown(page)).toEqual(Array.from({ length: upTo }, (_, at) => at + 1));
}

/** WebSockets at the hub now. */
export async function socketsOf(one: Hub): Promise<number> {
  const metrics = await (await fetch(`${one.url}/metrics`)).text();
  return [...metrics.matchAll(/^plancast_connections\{[^}]*transport="(?:native|websocket)"[^}]*\} (\S+)$/gm)].reduce(
    (sum, [, value]) => sum + Number(value),
    0,
  );
}
