/** Everyday use of the page. */
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { Hub, message } from "../hub/hub.js";
import { Proxy } from "../hub/proxy.js";
import { EngineFolder } from "./engine_folder.js";
import { everythingOnce, LIVE, live, messages, socketsOf, Visits } from "./visits.js";

let hub: Hub;
const engine = new EngineFolder();
const visits = new Visits();

beforeAll(async () => {
  hub = await Hub.start(engine.settings);
});
afterEach(() => visits.leave());
afterAll(async () => {
  await visits.close();
  await hub.close();
  engine.remove();
});

test("a plan's page opens, shows that it is live, and shows the sample as it is published", async () => {
  const page = await visits.visit(`${hub.url}/plan/seed-1`);
  await live(page);
  const sample = await fetch(`${hub.url}/api/test/streaming/seed-1?speed=10`, { method: "POST" });
  expect(await sample.json()).toMatchObject({ status: "success" });
  for (const text of ["Let me see what the last quarter looks like…", "Open the next shop in the north."]) {
    await page.locator("[data-conversation]").getByText(text).first().waitFor();
  }
  await page.getByText("Data Analyst").first().waitFor();
  expect(await page.getByText(LIVE, { exact: true }).count()).toBe(1);
});

test("reloaded during a run, it shows everything once", async () => {
  await hub.publish("reload-1", messages(1, 8));
  const page = await visits.visit(`${hub.url}/plan/reload-1`);
  await everythingOnce(page, 8);
  await Promise.all([page.reload(), hub.publish("reload-1", messages(9, 16))]);
  await everythingOnce(page, 16);
  await hub.publish("reload-1", messages(17, 18));
  await everythingOnce(page, 18);
});

test("the network fails and recovers: nothing is lost or duplicated", async () => {
  const proxy = await Proxy.before(hub.port);
  try {
    await hub.publish("cut-1", messages(1, 3));
    const page = await visits.visit(`${proxy.url}/plan/cut-1`);
    await live(page);
    proxy.setAway(true);
    await page
      .getByText(/^(Reconnecting|Offline)/)
      .first()
      .waitFor();
    await hub.publish("cut-1", messages(4, 9));
    proxy.setAway(false);
    await live(page);
    await everythingOnce(page, 9);
  } finally {
    await proxy.close();
  }
});

test("a plan is started from the gallery, and its page follows it to the end", async () => {
  const page = await visits.visit(hub.url);
  await page.getByRole("button", { name: /Plan an exhibition/ }).click();
  await page.getByRole("button", { name: "Start", exact: true }).click();
  await page.getByText("Theme is required.").waitFor();
  await page.getByRole("textbox", { name: "Theme" }).fill("Rivers and what they carry");
  await page.getByRole("button", { name: "Start", exact: true }).click();
  await page.waitForURL(/\/plan\/plan-/);
  await page.waitForFunction(() => document.title.startsWith("Completed: "));
  expect(await page.evaluate(() => document.activeElement?.id)).toBe("main");
  await page
    .getByRole("list", { name: "Plans" })
    .getByRole("link", { name: /Completed/ })
    .first()
    .waitFor();
});

test("the list is searched and filtered, and works with the keyboard alone", async () => {
  await hub.publish("north-1", [{ type: "plan_update", data: { title: "Shops of the north", labels: ["retail"] } }]);
  await hub.publish("south-1", [{ type: "plan_update", data: { title: "Shops of the south", status: "completed" } }]);
  const page = await visits.visit(hub.url);
  const list = page.getByRole("list", { name: "Plans" });
  await list.getByRole("link", { name: /of the south/ }).waitFor();
  await page.getByRole("searchbox", { name: "Search plans" }).fill("shops north");
  await list.getByRole("link", { name: /of the south/ }).waitFor({ state: "detached" });
  await page.getByRole("searchbox", { name: "Search plans" }).fill("");
  await page.getByRole("button", { name: "Filters" }).click();
  await page.getByLabel("Status").selectOption("completed");
  await list.getByRole("link", { name: /of the north/ }).waitFor({ state: "detached" });
  await list.getByRole("link", { name: /of the south/ }).focus();
  await page.keyboard.press("Enter");
  await page.waitForURL(`${hub.url}/plan/south-1`);
  await page.goBack();
  await page.getByRole("heading", { name: "What should the agents work on?" }).waitFor();
});

test("five plans on the wall, over one socket", async () => {
  const plans = [1, 2, 3, 4, 5].map((number) => `wall-${number}`);
  for (const plan of plans) await hub.publish(plan, [message(`first of ${plan}`)]);
  const page = await visits.visit(`${hub.url}/wall?${plans.map((plan) => `plan=${plan}`).join("&")}`);
  await live(page);
  for (const plan of plans) await hub.publish(plan, [message(`second of ${plan}`)]);
  for (const plan of plans) await page.getByText(`second of ${plan}`).waitFor();
  expect(await socketsOf(hub)).toBe(1);
  await page.getByRole("button", { name: "Remove from the wall: wall-3" }).last().click();
  await page.getByRole("article", { name: "wall-3" }).waitFor({ state: "detached" });
  expect(new URL(page.url()).searchParams.getAll("plan")).toEqual(plans.filter((plan) => plan !== "wall-3"));
});

test("a dialog that a key opened returns the focus", async () => {
  await hub.publish("keys-1", [{ type: "plan_update", data: { data: { template: "trip" } } }]); // Pause is offered
  const page = await visits.visit(`${hub.url}/plan/keys-1`);
  const pause = page.getByRole("button", { name: "Pause" });
  await pause.focus();
  await page.keyboard.press("?");
  await page.getByRole("heading", { name: "Keyboard shortcuts" }).waitFor();
  await page.keyboard.press("Escape");
  await page.getByRole("heading", { name: "Keyboard shortcuts" }).waitFor({ state: "detached" });
  await expect.poll(() => pause.evaluate((button) => button === document.activeElement)).toBe(true);
});

test("an unknown address shows a message and a way back", async () => {
  const page = await visits.visit(`${hub.url}/plan/%20`);
  await page.getByRole("heading", { name: "Page not found" }).waitFor();
  await page.getByRole("button", { name: "Go to the start page" }).click();
  await page.getByRole("list", { name: "Templates" }).waitFor();
});

test("on a narrow screen, the list is behind a button", async () => {
  await hub.publish("narrow-1", [message("message 1.")]);
  const page = await visits.visit(hub.url, { viewport: { width: 390, height: 844 } });
  await page.getByRole("button", { name: "Plans", exact: true }).click();
  await page.getByRole("link", { name: /narrow-1/ }).click();
  await page.locator("[data-conversation]").getByText("message 1.").waitFor();
  expect(await page.getByRole("link", { name: /narrow-1/ }).count()).toBe(0);
});
