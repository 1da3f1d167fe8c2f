/** Visitors of the page: each in a separate browser context of the shared Chromium. */
import { type Browser, type BrowserContext, type BrowserContextOptions, chromium, type Page } from "playwright-core";
import { expect, inject } from "vitest";
import { type Hub, type LooseEvent, message } from "../hub/hub.js";

/** Console messages of the browser about network errors, which are not errors of the page; and a CSS value of Fluent's that
 * Chromium reports as deprecated. */
const NETWORK_ERRORS = /ERR_|Failed to load resource|WebSocket connection|EventSource|slider-vertical/;

/** Tall enough to show a whole plan: rows outside of the viewport are not in the document. */
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

  /** After each test: closes all contexts, and expects no errors on the pages. */
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

/** Waits until the tag shows live updates. */
export async function live(page: Page): Promise<void> {
  await page.getByText(LIVE, { exact: true }).waitFor();
}

/** "message 4." to "message 9.": messages that can be counted. */
export function messages(from: number, to: number): readonly LooseEvent[] {
  return Array.from({ length: to - from + 1 }, (_, at) => message(`message ${from + at}.`));
}

/** The numbers of the messages that the conversation shows, in order, with duplicates. */
export async function shown(page: Page): Promise<readonly number[]> {
  const text = await page.locator("[data-conversation]").innerText();
  return [...text.matchAll(/message (\d+)\./g)].map(([, number]) => Number(number));
}

/** Waits for this message, and expects each from the first on exactly once, in order. */
export async function everythingOnce(page: Page, upTo: number): Promise<void> {
  await page.locator("[data-conversation]").getByText(`message ${upTo}.`).first().waitFor();
  expect(await shown(page)).toEqual(Array.from({ length: upTo }, (_, at) => at + 1));
}

/** The number of WebSockets at the hub. */
export async function socketsOf(one: Hub): Promise<number> {
  const metrics = await (await fetch(`${one.url}/metrics`)).text();
  return [...metrics.matchAll(/^plancast_connections\{[^}]*transport="(?:native|websocket)"[^}]*\} (\S+)$/gm)].reduce(
    (sum, [, value]) => sum + Number(value),
    0,
  );
}
