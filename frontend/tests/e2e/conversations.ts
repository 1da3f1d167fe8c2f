/** A person who uses a client's page: asks, reloads, opens a second tab, answers. */
import type { Locator, Page } from "playwright-core";
import { expect } from "vitest";
import type { Hub } from "../hub/hub.js";
import type { BuiltPage } from "./built_pages.js";
import type { Visits } from "./visits.js";

interface Plan {
  readonly status: string;
  readonly messages: readonly { readonly content: string }[];
  readonly inputs: readonly { readonly answer?: unknown }[];
}

const REQUEST = "Sales by region are uneven";
/** The beginning of the first message, and of the last one before the question. */
const FIRST = "Looking up the figures";
const PROPOSAL = "What it costs";

/** What the first tab does after the second one has answered; a second answer changes nothing. */
type Notice = "reload" | "focus" | "answer";

/** Asks, reloads in the midst, opens a second tab beside it, answers there, and expects all of the plan in both, once. */
export async function converse(page: BuiltPage, hub: Hub, visits: Visits, notice: Notice = "reload"): Promise<void> {
  const context = await visits.context();
  const tab = await context.newPage();
  await tab.goto(page.url);
  await send(tab, REQUEST);
  await tab.getByText(FIRST).first().waitFor();
  const id = new URL(tab.url()).hash.slice(1);
  await tab.reload();
  const beside = await context.newPage();
  await beside.goto(tab.url());
  for (const each of [tab, beside]) {
    await each.getByText(PROPOSAL).waitFor();
    await expectWhole(each, hub, id);
  }
  await beside.getByRole("button", { name: "Yes" }).click();
  await beside.getByRole("button", { name: "Yes" }).waitFor({ state: "detached" });
  const ended = await planOf(hub, id, ({ status }) => status === "completed");
  expect(JSON.stringify(ended.inputs.map(({ answer }) => answer))).toMatch(/^\[(?:"yes"|{"approved":true})\]$/);
  await expectWhole(beside, hub, id);
  if (notice === "reload") await tab.reload();
  else if (notice === "answer") await tab.getByRole("button", { name: "No" }).click();
  else await tab.evaluate(() => window.dispatchEvent(new Event("focus")));
  await expectWhole(tab, hub, id);
  expect(await tab.getByRole("button", { name: "Yes" }).count()).toBe(0);
}

/** Asks, restarts the hub in the midst, and expects all of the plan, once; the page may ask to reconnect. */
export async function restart(page: BuiltPage, hub: Hub, visits: Visits): Promise<void> {
  const tab = await visits.visit(page.url);
  await send(tab, REQUEST);
  await tab.getByText(FIRST).first().waitFor();
  await hub.end();
  await hub.begin();
  const reconnect = tab.getByRole("button", { name: "Reconnect" });
  const proposal = tab.getByText(PROPOSAL);
  await expect
    .poll(
      async () => {
        if (await reconnect.isVisible()) await reconnect.click({ timeout: 1_000 }).catch(() => undefined);
        return proposal.isVisible();
      },
      { timeout: 120_000 },
    )
    .toBe(true);
  await expectWhole(tab, hub, new URL(tab.url()).hash.slice(1));
}

/** Asks and cancels in the midst, with the button that this finds. */
export async function cancel(page: BuiltPage, hub: Hub, visits: Visits, button: (tab: Page) => Locator): Promise<void> {
  const tab = await visits.visit(page.url);
  await send(tab, REQUEST);
  await tab.getByText(FIRST).first().waitFor();
  const id = new URL(tab.url()).hash.slice(1);
  await button(tab).click();
  await planOf(hub, id, ({ status }) => status === "cancelled");
}

/** Presses Enter until the text is sent: a page that still connects to its agent ignores the key. */
async function send(page: Page, text: string): Promise<void> {
  const box = page.getByRole("textbox");
  await box.fill(text);
  const sent = async () => {
    await box.press("Enter");
    return (await box.inputValue()) === "";
  };
  await expect.poll(sent, { interval: 1_000 }).toBe(true);
}

/** Waits until the page shows each message of the plan as often as the plan has it. */
async function expectWhole(page: Page, hub: Hub, id: string): Promise<void> {
  const { messages } = await planOf(hub, id, () => true);
  const texts = messages.map(({ content }) => plain(content));
  const counts = (shown: string) => texts.map((text) => shown.split(text).length - 1);
  const expected = counts(texts.join("\n"));
  await expect.poll(async () => counts(plain(await page.locator("main").innerText()))).toEqual(expected);
}

/** The letters and digits: a page may show Markdown formatted. */
function plain(text: string): string {
  return text.replaceAll(/[^\p{L}\p{N}]+/gu, "");
}

async function planOf(hub: Hub, id: string, holds: (plan: Plan) => boolean): Promise<Plan> {
  for (;;) {
    const plan = (await (await fetch(`${hub.url}/api/plans/${id}`)).json()) as Plan;
    if (holds(plan)) return plan;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
