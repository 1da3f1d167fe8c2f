/** The search of the documentation that a hub serves at /docs (`make docs` builds it). */
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { Hub } from "../hub/hub.js";
import { Visits } from "./visits.js";

/** The first page found should be the guide to the subject, not a list of fields. */
const FIRST: Readonly<Record<string, string>> = {
  ask: "how-to/answer-a-question/",
  pause: "agents/",
  redis: "how-to/managed-redis/",
  useChat: "clients/ai-sdk/",
  cancel: "agents/",
  token: "operations/",
  metrics: "operations/",
  kubernetes: "deploy/",
  retries: "engine/",
  send_tool_call: "reference/python/publishing/",
};

const visits = new Visits();
let hub: Hub;

beforeAll(async () => {
  hub = await Hub.start();
});
afterEach(() => visits.leave());
afterAll(async () => {
  await visits.close();
  await hub.close();
});

test.each(Object.entries(FIRST))("%s is found on %s", async (query, first) => {
  const page = await visits.visit(`${hub.url}/docs/?q=${query}`);
  const found = await page.locator(".md-search-result__link").first().getAttribute("href");
  expect(new URL(found ?? "", `${hub.url}/docs/`).pathname).toBe(`/docs/${first}`);
});

test("the words of a query are found in other forms, and all are required", async () => {
  const page = await visits.visit(`${hub.url}/docs/?q=approving approvals`);
  await page.locator(".md-search-result__link").first().waitFor();
  await page.goto(`${hub.url}/docs/?q=approving xylophones`);
  await page.getByText("No matching documents").waitFor();
});
