/** Several users of one plan. */
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { Hub } from "../hub/hub.js";
import { live, Visits } from "./visits.js";

let hub: Hub;
const visits = new Visits();

beforeAll(async () => {
  hub = await Hub.start();
});
afterEach(() => visits.leave());
afterAll(async () => {
  await visits.close();
  await hub.close();
});

test("two tabs answer one question at once: one answer is accepted, and both show whose", async () => {
  const asked = { request_id: "send-it", kind: "approval", prompt: "Send the offer on Monday?", agent_name: "Advisor" };
  await hub.publish("asked-1", [
    { type: "plan_update", data: { title: "An offer" } },
    { type: "input_request", data: asked },
  ]);
  const context = await visits.context();
  const tabs = [await context.newPage(), await context.newPage()] as const;
  for (const tab of tabs) {
    await tab.goto(`${hub.url}/plan/asked-1`);
    await live(tab);
  }
  const [one, other] = tabs;
  const approve = await one.getByRole("button", { name: "Approve" }).elementHandle();
  const decline = await other.getByRole("button", { name: "Decline" }).elementHandle();
  // At once: a click that waits for its button could come after the other answer.
  await Promise.all([approve, decline].map((button) => button.evaluate((node) => (node as HTMLElement).click())));
  for (const tab of tabs)
    await tab
      .getByText(/answered by/)
      .first()
      .waitFor();
  const events = (await (await fetch(`${hub.url}/api/plans/asked-1/events`)).json()) as {
    readonly events: readonly { readonly type: string; readonly data: { readonly answer?: unknown } }[];
  };
  const answers = events.events.filter(({ type }) => type === "input_response");
  expect(answers).toHaveLength(1);
  const label = answers[0]?.data.answer === true ? "Approve" : "Decline";
  for (const tab of tabs) await tab.locator("[data-conversation]").getByText(label, { exact: true }).first().waitFor();
});
