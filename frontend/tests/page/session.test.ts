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
  store.signIn("one");
  return { drawer, store };
}

test("a token is kept for this tab, and restored", () => {
  const { drawer, store } = signedIn();
  expect(store.getSnapshot()).toMatchObject({ token: "one", signIns: 1, access: { state: "open" } });
  expect(new SessionStore(drawer).getSnapshot()).toMatchObject({ token: "one", access: { state: "open" } });
  store.signOut();
  expect(drawer.kept.size).toBe(0);
  expect(store.getSnapshot()).toMatchObject({ token: undefined, access: { state: "closed", why: "needed" } });
});

describe("the hub refuses", () => {
  test("without a token: one is required", () => {
    const store = new SessionStore(new Drawer());
    store.refuse(false, "a token is required");
    expect(store.getSnapshot().access).toEqual({ state: "closed", why: "needed", detail: "a token is required" });
  });

  test.each([
    [false, "refused"],
    [true, "expired"],
  ])("with a token (expired: %s): it is removed", (expired, why) => {
    const { drawer, store } = signedIn();
    store.refuse(expired, "no");
    store.refuse(false, "refused again");
    expect(store.getSnapshot()).toMatchObject({ token: undefined, access: { state: "closed", why, detail: "no" } });
    expect(drawer.kept.size).toBe(0);
  });
});

describe("a token expires", () => {
  test("soon: a warning is shown, and a token that the hub has seen is not returned", () => {
    const { store } = signedIn();
    expect(store.fetchToken({ reason: "connect" })).toBe("one");
    expect(() => store.fetchToken({ reason: "expiring" })).toThrow("fresh token");
    expect(store.getSnapshot().access).toEqual({ state: "open", endsSoon: true });
    store.renew("two");
    expect(store.getSnapshot()).toMatchObject({ signIns: 1, access: { state: "open", endsSoon: false } });
    expect(store.fetchToken({ reason: "expiring" })).toBe("two");
  });

  test("while the page is in use: the page waits for a new one", () => {
    const { store } = signedIn();
    store.fetchToken({ reason: "connect" });
    store.fetchToken({ reason: "expired" });
    expect(store.getSnapshot().access).toEqual({ state: "expired" });
    store.renew("two");
    expect(store.fetchToken({ reason: "expired" })).toBe("two");
    expect(store.getSnapshot().access).toEqual({ state: "open", endsSoon: false });
  });
});

test("while the token is expired, no request is sent; with a new one, they are", async () => {
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

test("listeners are called until they unsubscribe", () => {
  const { store } = signedIn();
  let received = 0;
  const stop = store.subscribe(() => received++);
  store.expire();
  stop();
  store.signOut();
  expect(received).toBe(1);
});

test("the page works if the browser blocks storage", () => {
  vi.spyOn(globalThis, "sessionStorage", "get").mockImplementation(() => {
    throw new DOMException("storage is blocked", "SecurityError");
  });
  const store = new SessionStore(tabStorage());
  store.signIn("one");
  expect(store.getSnapshot().token).toBe("one");
  rememberWall(["a"]);
  expect(rememberedWall()).toEqual([]);
  vi.restoreAllMocks();
});
