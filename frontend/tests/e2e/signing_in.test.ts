/** A hub that requires tokens. */
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { Hub } from "../hub/hub.js";
import { AUTH_SETTINGS, token } from "./tokens.js";
import { everythingOnce, live, messages, Visits } from "./visits.js";

let hub: Hub;
const visits = new Visits();

beforeAll(async () => {
  hub = await Hub.start(AUTH_SETTINGS);
});
afterEach(() => visits.leave());
afterAll(async () => {
  await visits.close();
  await hub.close();
});

test("a token is required, and a wrong one is refused with a reason", async () => {
  await hub.publish("guarded-1", messages(1, 2), token(600));
  const page = await visits.visit(`${hub.url}/plan/guarded-1`);
  await page.getByRole("heading", { name: "Sign in to watch plans" }).waitFor();
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByText("Paste a token first.").waitFor();
  await page.getByLabel("Token").fill("nonsense");
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("heading", { name: "The token was not accepted" }).waitFor();
  await page.getByLabel("Token").fill(`Bearer ${token(600)}`);
  await page.getByRole("button", { name: "Sign in" }).click();
  await live(page);
  await everythingOnce(page, 2);
  await page.reload();
  await everythingOnce(page, 2);
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByRole("heading", { name: "Sign in to watch plans" }).waitFor();
  expect(await page.evaluate(() => sessionStorage.getItem("plancast.token"))).toBeNull();
});

test("an expired token is replaced, and the plan resumes from its position", async () => {
  await hub.publish("guarded-2", messages(1, 3), token(600));
  const page = await visits.visit(`${hub.url}/plan/guarded-2`);
  await page.getByLabel("Token").fill(token(6));
  await page.getByRole("button", { name: "Sign in" }).click();
  await everythingOnce(page, 3);
  await page.getByRole("heading", { name: "Your sign-in has expired" }).waitFor();
  await hub.publish("guarded-2", messages(4, 6), token(600));
  await page.getByLabel("Token").fill(token(600));
  await page.getByRole("button", { name: "Continue" }).click();
  await live(page);
  await everythingOnce(page, 6);
});

test("a plan without permission is not shown", async () => {
  await hub.publish("hers", messages(1, 1), token(600));
  const page = await visits.visit(`${hub.url}/plan/hers`);
  await page.getByLabel("Token").fill(token(600, "bob", { "his-*": ["read"] }));
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByText("You cannot view this plan").waitFor();
  await page.getByText("No plans yet").waitFor();
});
