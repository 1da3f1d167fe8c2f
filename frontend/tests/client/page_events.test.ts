// @vitest-environment happy-dom
/** The client reacts to the browser's page and network events, and listens only while it needs to. */
import { afterEach, expect, test, vi } from "vitest";
import type { Client } from "../../src/client/index.js";
import { eventually } from "../eventually.js";
import { ScriptedHub } from "../scripted_hub.js";

const clients: Client[] = [];

afterEach(() => {
  for (const client of clients.splice(0)) client.close();
  vi.restoreAllMocks();
});

async function watching() {
  const hub = new ScriptedHub();
  const client = hub.client();
  clients.push(client);
  client.plan("p").subscribe(() => undefined);
  const status = (wanted: string) =>
    eventually(
      () => client.connection.getSnapshot(),
      ({ status }) => status === wanted,
    );
  await status("live");
  const pings = () => hub.received.filter(({ type }) => type === "ping").length;
  return { hub, client, status, pings };
}

function set(target: Document | Navigator, name: string, value: unknown): void {
  vi.spyOn(target, name as never, "get").mockReturnValue(value as never);
}

test.each([
  ["a frozen page is resumed", () => document.dispatchEvent(new Event("resume"))],
  ["a page is restored from the browser's cache", () => window.dispatchEvent(new Event("pageshow"))],
  ["a page becomes visible", () => document.dispatchEvent(new Event("visibilitychange"))],
  ["the network changes", () => window.dispatchEvent(new Event("online"))],
])("%s: the connection is pinged", async (_, happen) => {
  const { pings } = await watching();
  happen();
  await eventually(pings, (count) => count === 1);
});

test("a hidden page waits; visible again, it reconnects at once", async () => {
  const { hub, status } = await watching();
  set(document, "visibilityState", "hidden");
  document.dispatchEvent(new Event("visibilitychange"));
  hub.sockets[0]?.drop(1012, "restart");
  await status("reconnecting");
  set(document, "visibilityState", "visible");
  document.dispatchEvent(new Event("visibilitychange"));
  await status("live");
  expect(hub.sockets).toHaveLength(2);
});

test("a device without a network shows offline; online again, it reconnects at once", async () => {
  const { hub, status } = await watching();
  set(navigator, "onLine", false);
  window.dispatchEvent(new Event("offline"));
  hub.sockets[0]?.drop();
  await status("offline");
  set(navigator, "onLine", true);
  window.dispatchEvent(new Event("online"));
  await status("live");
});

test("a closed client removes its listeners", async () => {
  const removed = vi.spyOn(window, "removeEventListener");
  const { client, pings } = await watching();
  client.close();
  expect(removed.mock.calls.map(([name]) => name)).toEqual(expect.arrayContaining(["online", "offline", "pageshow"]));
  window.dispatchEvent(new Event("pageshow"));
  expect(pings()).toBe(0);
});
