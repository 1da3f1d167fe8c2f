/** A separate browser whose processes can be suspended, like those of a closed laptop. */
import { type Browser, type BrowserServer, chromium, type Page } from "playwright-core";
import { launch } from "./chromium.js";
import { TALL } from "./visits.js";

export class Laptop {
  readonly #server: BrowserServer;
  readonly #browser: Browser;

  private constructor(server: BrowserServer, browser: Browser) {
    this.#server = server;
    this.#browser = browser;
  }

  static async open(): Promise<Laptop> {
    const server = await launch();
    return new Laptop(server, await chromium.connect(server.wsEndpoint()));
  }

  async visit(address: string): Promise<Page> {
    const page = await (await this.#browser.newContext({ viewport: TALL })).newPage();
    page.setDefaultTimeout(60_000);
    await page.goto(address);
    return page;
  }

  sleep(): void {
    this.#signal("SIGSTOP");
  }

  wake(): void {
    this.#signal("SIGCONT");
  }

  async close(): Promise<void> {
    this.wake();
    await this.#browser.close();
    await this.#server.close();
  }

  /** Sends a signal to the browser's process group. */
  #signal(signal: NodeJS.Signals): void {
    const { pid } = this.#server.process();
    if (pid === undefined) throw new Error("this browser has no process");
    process.kill(-pid, signal);
  }
}
