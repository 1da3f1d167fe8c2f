/** A hub that asks who is there. */
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

test("who is not known is asked for a token, and told why the wrong one won't do", async () => {
  await hub.publish("guarded-1", messages(1, 2), token(600));
  const page = await visits.visit(`${hub.url}/plan/guarded-1`);
  await page.getByRole("heading", { name: "Sign in to watch plans" }).waitFor();
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByText("Paste a token first.").waitFor();
  await page.getByLabel("Token").fill("nonsense");
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("heading", { name: "That token wasn't taken" }).waitFor();
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

test("a token that ends is asked for again, and the plan goes on where it was", async () => {
  await hub.publish("guarded-2", messages(1, 3), token(600));
  const page = await visits.visit(`${hub.url}/plan/guarded-2`);
  await page.getByLabel("Token").fill(token(6));
  await page.getByRole("button", { name: "Sign in" }).click();
  await everythingOnce(page, 3);
  await page.getByRole("heading", { name: "Your sign-in has ended" }).waitFor();
  await hub.publish("guarded-2", messages(4, 6), token(600));
  await page.getByLabel("Token").fill(token(600));
  await page.getByRole("button", { name: "Go on" }).click();
  await live(page);
  await everythingOnce(page, 6);
});

test("a plan that is another user's is not shown, and said to be so", async () => {
  await hub.publish("hers", messages(1, 1), token(600));
  const page = await visits.visit(`${hub.url}/plan/hers`);
  await page.getByLabel("Token").fill(token(600, "bob", { "his-*": ["read"] }));
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByText("This plan isn’t yours to see").waitFor();
  await page.getByText("No plans yet").waitFor();
});
