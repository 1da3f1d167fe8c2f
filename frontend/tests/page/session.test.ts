import { describe, expect, test, vi } from "vitest";
import { createClient } from "../../src/client/index.js";
import { SessionStore } from "../../src/page/sign_in/session.js";
import { tabStorage } from "../../src/page/sign_in/tab_storage.js";
import { rememberedWall, rememberWall } from "../../src/page/wall/wall_plans.js";

class Drawer {
  readonly kept = new Map<string, string>();
  getItem = (key: string) => this.kept.get(key) ?? null;
  setItem = (key: string, value: string) => void this.kept.set(key, value);
  removeItem = (key: string) => void this.kept.delete(key);
}

function signedIn() {
  const drawer = new Drawer();
  const store = new SessionStore(drawer);
  store.enter("one");
  return { drawer, store };
}

test("a token is kept for this tab, and found again", () => {
  const { drawer, store } = signedIn();
  expect(store.getSnapshot()).toMatchObject({ token: "one", visit: 1, door: { state: "open" } });
  expect(new SessionStore(drawer).getSnapshot()).toMatchObject({ token: "one", door: { state: "open" } });
  store.leave();
  expect(drawer.kept.size).toBe(0);
  expect(store.getSnapshot()).toMatchObject({ token: undefined, door: { state: "closed", why: "needed" } });
});

describe("the hub refuses", () => {
  test("who has no token: one is needed", () => {
    const store = new SessionStore(new Drawer());
    store.refuse(false, "who is there?");
    expect(store.getSnapshot().door).toEqual({ state: "closed", why: "needed", detail: "who is there?" });
  });

  test.each([
    [false, "refused"],
    [true, "expired"],
  ])("who has one that won't do (past its time: %s): it is forgotten", (expired, why) => {
    const { drawer, store } = signedIn();
    store.refuse(expired, "no");
    store.refuse(false, "no, said again");
    expect(store.getSnapshot()).toMatchObject({ token: undefined, door: { state: "closed", why, detail: "no" } });
    expect(drawer.kept.size).toBe(0);
  });
});

describe("a token ends", () => {
  test("soon: it is said, once, and nothing is given that the hub has seen", () => {
    const { store } = signedIn();
    expect(store.fetchToken({ reason: "connect" })).toBe("one");
    expect(() => store.fetchToken({ reason: "expiring" })).toThrow("fresh token");
    expect(store.getSnapshot().door).toEqual({ state: "open", endsSoon: true });
    store.renew("two");
    expect(store.getSnapshot()).toMatchObject({ visit: 1, door: { state: "open", endsSoon: false } });
    expect(store.fetchToken({ reason: "expiring" })).toBe("two");
  });

  test("while the page is in use: the page waits for another", () => {
    const { store } = signedIn();
    store.fetchToken({ reason: "connect" });
    store.fetchToken({ reason: "expired" });
    expect(store.getSnapshot().door).toEqual({ state: "expired" });
    store.renew("two");
    expect(store.fetchToken({ reason: "expired" })).toBe("two");
    expect(store.getSnapshot().door).toEqual({ state: "open", endsSoon: false });
  });
});

test("while the token has ended no request leaves the page; with another they do", async () => {
  const asked = vi.fn(() => Promise.resolve(Response.json({ plans: [], cursor: null })));
  vi.stubGlobal("fetch", asked);
  const { store } = signedIn();
  const { fetchToken, fetch } = store;
  const client = createClient({ url: "http://hub.example", fetchToken, environment: { fetch } });
  await client.plans();
  store.expire();
  for (let times = 0; times < 3; times++) {
    await expect(client.plans()).rejects.toMatchObject({ code: "token_expired", status: 401 });
  }
  expect(asked).toHaveBeenCalledTimes(1);
  store.renew("two");
  expect(await client.plans()).toMatchObject({ plans: [] });
  expect(asked).toHaveBeenCalledTimes(2);
  vi.unstubAllGlobals();
});

test("whoever listens is received, until they stop", () => {
  const { store } = signedIn();
  let received = 0;
  const stop = store.subscribe(() => received++);
  store.expire();
  stop();
  store.leave();
  expect(received).toBe(1);
});

test("a browser that keeps nothing shows the page nonetheless", () => {
  vi.spyOn(globalThis, "sessionStorage", "get").mockImplementation(() => {
    throw new DOMException("storage is blocked", "SecurityError");
  });
  const store = new SessionStore(tabStorage());
  store.enter("one");
  expect(store.getSnapshot().token).toBe("one");
  rememberWall(["a"]);
  expect(rememberedWall()).toEqual([]);
  vi.restoreAllMocks();
});
