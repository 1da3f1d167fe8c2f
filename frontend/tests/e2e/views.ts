/** Every view of the page, for accessibility tests and screenshots. */
import type { Browser, BrowserContextOptions, Page } from "playwright-core";
import { Hub, type LooseEvent } from "../hub/hub.js";
import type { EngineFolder } from "./engine_folder.js";
import { token } from "./tokens.js";

export type Scheme = "light" | "dark";

export interface View {
  readonly name: string;
  /** The hub to use: without authentication, or with tokens. */
  readonly hub: "open" | "guarded";
  readonly path: string;
  /** Only on wide or narrow screens. */
  readonly only?: "wide" | "narrow";
  /** Brings the page to the view. */
  readonly reach: (page: Page) => Promise<unknown>;
}

const conversation = (page: Page) => page.locator("[data-conversation]").waitFor();
const tab = async (page: Page, name: string | RegExp) => {
  await conversation(page);
  await page.getByRole("tab", { name }).click();
};
const results = async (page: Page) => {
  await tab(page, /Results/);
  await page.getByRole("group", { name: "Results" }).waitFor();
};
const signIn = async (page: Page, given: string) => {
  await page.getByLabel("Token").fill(given);
  await page.getByRole("button", { name: "Sign in" }).click();
};

export const VIEWS: readonly View[] = [
  { name: "welcome", hub: "open", path: "/", reach: (page) => page.getByRole("list", { name: "Templates" }).waitFor() },
  {
    name: "start",
    hub: "open",
    path: "/",
    reach: async (page) => {
      await page.getByRole("button", { name: /Plan a trip/ }).click();
      await page.getByRole("button", { name: "Start", exact: true }).waitFor();
    },
  },
  { name: "plan", hub: "open", path: "/plan/autumn-campaign", reach: conversation },
  {
    name: "plan-waiting",
    hub: "open",
    path: "/plan/business",
    reach: (page) =>
      page.locator("[data-conversation] form, [data-conversation] [role=group] button").first().waitFor(),
  },
  {
    name: "plan-steps",
    hub: "open",
    path: "/plan/autumn-campaign",
    only: "narrow",
    reach: (page) => tab(page, "Steps"),
  },
  { name: "results-exhibition", hub: "open", path: "/plan/exhibition", reach: results },
  { name: "results-data", hub: "open", path: "/plan/figures", reach: results },
  { name: "results-trip", hub: "open", path: "/plan/lisbon", reach: results },
  {
    name: "plan-past",
    hub: "open",
    path: "/plan/exhibition",
    reach: async (page) => {
      await page.getByRole("slider").focus();
      for (let steps = 0; steps < 6; steps++) await page.keyboard.press("ArrowLeft");
      await page.getByRole("button", { name: "Back to now" }).waitFor();
    },
  },
  {
    name: "plan-unknown",
    hub: "open",
    path: "/plan/no-events",
    reach: (page) => page.getByText("This plan has no events yet").waitFor(),
  },
  {
    name: "wall",
    hub: "open",
    path: "/wall?plan=autumn-campaign&plan=business&plan=exhibition&plan=figures&plan=lisbon",
    reach: (page) => page.getByText("Real-time updates active").waitFor(),
  },
  { name: "wall-empty", hub: "open", path: "/wall", reach: (page) => page.getByText("The wall is empty").waitFor() },
  { name: "not-found", hub: "open", path: "/plan/%20", reach: (page) => page.getByText("Page not found").waitFor() },
  {
    name: "list",
    hub: "open",
    path: "/plan/autumn-campaign",
    only: "narrow",
    reach: async (page) => {
      await page.getByRole("button", { name: "Plans", exact: true }).click();
      await page.getByRole("button", { name: "Filters" }).click();
      await page.getByLabel("Status").waitFor();
    },
  },
  { name: "sign-in", hub: "guarded", path: "/", reach: (page) => page.getByLabel("Token").waitFor() },
  {
    name: "not-permitted",
    hub: "guarded",
    path: "/plan/hers",
    reach: async (page) => {
      await signIn(page, token(600, "bob", { "his-*": ["read"] }));
      await page.getByText("You cannot view this plan").waitFor();
    },
  },
  {
    name: "sign-in-ended",
    hub: "guarded",
    path: "/plan/hers",
    reach: async (page) => {
      await signIn(page, token(3));
      await page.getByRole("heading", { name: "Your sign-in has expired" }).waitFor();
    },
  },
];

/** Publishes plans of every kind for the views. */
export async function publishPlans(hub: Hub): Promise<void> {
  await Promise.all([
    start(hub, "exhibition", "exhibition", { theme: "Rivers and what they carry" }),
    start(hub, "figures", "data_query", { query: "sales by month in 2025" }),
    start(hub, "lisbon", "trip", { message: "Plan three days in Lisbon" }),
    start(hub, "business", "business_operations", { request: "Sales by region are uneven" }),
  ]);
  await Promise.all(["exhibition", "figures", "lisbon"].map((plan) => until(hub, plan, /completed|error|waiting/)));
  await until(hub, "business", /waiting/);
  await hub.publish("autumn-campaign", CAMPAIGN);
}

async function start(hub: Hub, plan_id: string, template: string, input: object): Promise<void> {
  const body = JSON.stringify({ plan_id, template, input });
  const headers = { "Content-Type": "application/json" };
  const answer = await fetch(`${hub.url}/api/plans`, { method: "POST", headers, body });
  if (answer.status !== 202) throw new Error(await answer.text());
}

async function until(hub: Hub, plan: string, status: RegExp): Promise<void> {
  const deadline = Date.now() + 90_000;
  for (;;) {
    const answer = (await (await fetch(`${hub.url}/api/plans/${plan}`)).json()) as { readonly status?: string };
    if (status.test(answer.status ?? "")) return;
    if (Date.now() > deadline) throw new Error(`${plan} is ${answer.status ?? "unknown"} after 90 s`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

export async function hubs(engine: EngineFolder, authSettings: Readonly<Record<string, string>>) {
  const [open, guarded] = await Promise.all([Hub.start(engine.settings), Hub.start(authSettings)]);
  await publishPlans(open);
  await guarded.publish("hers", [{ type: "plan_update", data: { title: "What is hers" } }], token(600));
  return { open, guarded, close: () => Promise.all([open.close(), guarded.close()]) };
}

export async function reach(browser: Browser, url: string, view: View, options: BrowserContextOptions): Promise<Page> {
  const context = await browser.newContext({ reducedMotion: "reduce", ...options });
  context.setDefaultTimeout(40_000);
  const page = await context.newPage();
  await page.goto(url + view.path);
  await view.reach(page);
  await page.waitForLoadState("networkidle").catch(() => undefined);
  return page;
}

const step = (step_id: string, data: object): LooseEvent => ({ type: "step_update", data: { step_id, ...data } });
const agentMessage = (agent_name: string, content: string, message_type: string, more: object = {}): LooseEvent => ({
  type: "agent_message",
  data: { agent_name, content, message_type, ...more },
});

/** A running plan: branches, a retry, a failed tool, a streaming message. */
const CAMPAIGN: readonly LooseEvent[] = [
  {
    type: "plan_update",
    data: { title: "Autumn campaign for the shop", progress: 5, owner: "maria", labels: ["retail"] },
  },
  step("figures", { title: "Collect the sales figures", status: "pending", needs: [] }),
  step("mood", { title: "Read what customers say", status: "pending", needs: [] }),
  step("offer", { title: "Write the offer", status: "pending", needs: ["figures", "mood"] }),
  step("send", { title: "Send it", status: "pending", needs: ["offer"] }),
  step("figures", { status: "in_progress", attempt: 1, max_attempts: 3, agent_name: "Data Analyst" }),
  step("mood", { status: "in_progress", agent_name: "Listener" }),
  agentMessage("Data Analyst", "I need last autumn beside this summer.", "thinking", { step_id: "figures" }),
  {
    type: "tool_call",
    data: {
      agent_name: "Data Analyst",
      call_id: "c1",
      tool_name: "sales_by_month",
      phase: "started",
      arguments: { from: "2025-09", to: "2026-08" },
      step_id: "figures",
    },
  },
  {
    type: "tool_call",
    data: {
      agent_name: "Data Analyst",
      call_id: "c1",
      tool_name: "sales_by_month",
      phase: "error",
      result: "the database is busy",
      step_id: "figures",
    },
  },
  step("figures", { status: "retrying", attempt: 2, max_attempts: 3, content: "The database is busy" }),
  step("figures", { status: "completed", attempt: 2, max_attempts: 3, content: "Twelve months, 4 regions" }),
  agentMessage(
    "Data Analyst",
    "Autumn is **12 % above** summer in the north, and flat in the south:\n\n| Region | Summer | Autumn |\n|---|---:|---:|\n| North | 182 k | 204 k |\n| South | 97 k | 98 k |",
    "result",
    { step_id: "figures" },
  ),
  agentMessage("Listener", "Reading 340 reviews; most speak of delivery.", "action", { step_id: "mood" }),
  step("mood", { status: "in_progress", progress: 60 }),
  { type: "plan_update", data: { progress: 45 } },
  agentMessage(
    "Business Advisor",
    "If delivery is what people talk about, the offer could begin with it: ",
    "thinking",
    {
      message_id: "m9",
      append: true,
    },
  ),
  agentMessage("Business Advisor", "free delivery in October for everyone in the north, and", "thinking", {
    message_id: "m9",
    append: true,
  }),
];
