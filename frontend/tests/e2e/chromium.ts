import { type BrowserServer, chromium } from "playwright-core";

/** Debian's path; CHROMIUM sets another. */
const PATH = process.env["CHROMIUM"] ?? "/usr/bin/chromium";
/** No requests other than the page's. */
const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

export function launch(): Promise<BrowserServer> {
  return chromium.launchServer({ executablePath: PATH, args: FLAGS, headless: true, host: "127.0.0.1" });
}
