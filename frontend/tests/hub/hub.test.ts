/** The client against a real hub, through a proxy that cuts and blocks connections. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { type Client, type ClientOptions, type Environment, PlancastError } from "../../src/client/index.js";
import { eventually } from "../eventually.js";
import { Hub, message } from "./hub.js";
import { Proxy } from "./proxy.js";
import { clientOf, connected, contents, follow, has, live, numbers } from "./watching.js";

let hub: Hub;
let proxy: Proxy;
const clients: Client[] = [];
let count = 0;

beforeAll(async () => {
  hub = await Hub.start();
});
afterAll(async () => {
  await hub.close();
});
afterEach(async () => {
  for (const client of clients.splice(0)) client.close();
  await proxy.close();
});

async function through(options: ClientOptions = {}, set: (proxy: Proxy) => void = () => undefined): Promise<Client> {
  proxy = await Proxy.before(hub.port);
  set(proxy);
  const client = clientOf({ url: proxy.url, ...options });
  clients.push(client);
  return client;
}

/** An environment in which time passes this many times faster. */
function hasty(times: number): Partial<Environment> {
  const begun = Date.now();
  return {
    now: () => begun + (Date.now() - begun) * times,
    after: (ms, callback) => {
      const timer = setTimeout(callback, ms / times);
      return () => clearTimeout(timer);
    },
  };
}

function freshPlan(): string {
  return `plan-${++count}`;
}

const publish = (planId: string, from: number, to: number) => hub.publish(planId, numbers(from, to).map(message));
describe("over a WebSocket", () => {
  test("a plan is shown with its history, and grows", async () => {
    const client = await through();
    const plan = freshPlan();
    await publish(plan, 1, 3);
    follow(client, plan);
    await live(client, plan);
    expect(contents(client, plan)).toEqual(numbers(1, 3));
    await publish(plan, 4, 5);
    expect(await has(client, plan, 5)).toEqual(numbers(1, 5));
    expect(client.connection.getSnapshot()).toEqual({ status: "live", transport: "websocket" });
  });

  test("a plan without events is empty, and live", async () => {
    const client = await through();
    const plan = freshPlan();
    follow(client, plan);
    const { snapshot } = await live(client, plan);
    expect(snapshot).toMatchObject({ offset: 0, status: "pending" });
  });
});

describe("with WebSockets blocked", () => {
  const blocked = (one: Proxy) => (one.blocksWebSockets = true);

  test("it falls back to server-sent events, and back up when possible", async () => {
    const client = await through({ environment: hasty(8) }, blocked);
    const [plan, other, late] = [freshPlan(), freshPlan(), freshPlan()];
    await publish(plan, 1, 3);
    const received = follow(client, plan);
    follow(client, other);
    await connected(client, "live", "sse");
    await live(client, plan);
    // Two attempts, or one more while the hub is being probed.
    expect(proxy.counts.websocket).toBeGreaterThanOrEqual(2);
    follow(client, late);
    await live(client, late);
    await publish(plan, 4, 6);
    await publish(other, 1, 1);
    await has(client, plan, 6);
    await has(client, other, 1);

    proxy.blocksWebSockets = false;
    await connected(client, "live", "websocket");
    await publish(plan, 7, 8);
    expect(await has(client, plan, 8)).toEqual(numbers(1, 8));
    expect(received.map(({ offset }) => offset)).toEqual([4, 5, 6, 7, 8]);
  });

  test("a broken stream resumes from its position", async () => {
    const client = await through({}, blocked);
    const plan = freshPlan();
    await publish(plan, 1, 3);
    const received = follow(client, plan);
    await live(client, plan);
    proxy.setAway(true);
    await connected(client, "reconnecting");
    await publish(plan, 4, 30);
    proxy.setAway(false);
    client.retry();
    expect(await has(client, plan, 30)).toEqual(numbers(1, 30));
    expect(received.map(({ offset }) => offset)).toEqual(numbers(4, 30).map(Number));
  });

  test("a plan that has ended is shown, and may continue", async () => {
    const client = await through({ environment: hasty(8) }, blocked);
    const plan = freshPlan();
    await hub.publish(plan, [message("1"), { type: "plan_update", data: { status: "completed" } }]);
    follow(client, plan);
    await live(client, plan);
    await hub.publish(plan, [{ type: "plan_update", data: { status: "in_progress" } }, message("2")]);
    expect(await has(client, plan, 2)).toEqual(["1", "2"]);
  });

  test("with streams held back, it polls; many plans take turns", async () => {
    const client = await through({ environment: hasty(8) }, (one) => (one.blocksWebSockets = one.holdsStreams = true));
    const plans = Array.from({ length: 6 }, freshPlan);
    for (const plan of plans) {
      await publish(plan, 1, 2);
      follow(client, plan);
    }
    await connected(client, "polling", "polling");
    for (const plan of plans) await live(client, plan);
    for (const plan of plans) await publish(plan, 3, 5);
    for (const plan of plans) expect(await has(client, plan, 5)).toEqual(numbers(1, 5));

    proxy.holdsStreams = false;
    await connected(client, "live", "sse");
    await publish(plans[0] ?? "", 6, 7);
    expect(await has(client, plans[0] ?? "", 7)).toEqual(numbers(1, 7));
  });

  test.each(["sse", "polling"] as const)("answers are sent as requests: %s", async (transport) => {
    const client = await through({ transports: [transport] });
    const plan = freshPlan();
    await hub.publish(plan, [{ type: "input_request", data: { request_id: "q", kind: "choice", prompt: "?" } }]);
    follow(client, plan);
    await live(client, plan);
    expect(await client.answer(plan, "q", "yes")).toMatchObject({ offset: 2 });
    await expect(client.answer(plan, "q", "no")).rejects.toMatchObject({ code: "already_answered" });
    await expect(client.signal(plan, "cancel")).rejects.toMatchObject({ code: "not_supported", planId: plan });
    const { snapshot } = await eventually(
      () => client.plan(plan).getSnapshot(),
      ({ place }) => place?.offset === 2,
    );
    expect(snapshot?.inputs).toMatchObject([{ answer: "yes" }]);
  });
});

describe("answers and signals", () => {
  test("an answer given while offline is sent once the network is back", async () => {
    const client = await through();
    const plan = freshPlan();
    await hub.publish(plan, [{ type: "input_request", data: { request_id: "q", kind: "approval", prompt: "?" } }]);
    follow(client, plan);
    await live(client, plan);
    proxy.setAway(true);
    await connected(client, "reconnecting");
    const answered = client.answer(plan, "q", { approved: true });
    await expect(client.answer(plan, "q", { approved: false })).rejects.toMatchObject({ code: "busy" });
    proxy.setAway(false);
    client.retry();
    expect(await answered).toMatchObject({ offset: 2 });
  });

  test("an answer needs no watched plan; the connection is closed after it", async () => {
    const client = await through({ environment: hasty(20) });
    await expect(client.answer(freshPlan(), "q", 1)).rejects.toMatchObject({ code: "no_such_request", requestId: "q" });
    await expect(client.signal(freshPlan(), "pause")).rejects.toMatchObject({ code: "not_supported" });
    await connected(client, "idle");
  });
});

describe("over HTTP", () => {
  test("plans, their snapshots and their history", async () => {
    const client = await through();
    const plan = freshPlan();
    await hub.publish(plan, [{ type: "plan_update", data: { title: "Trip to Rome", labels: [plan] } }, message("1")]);
    expect(await client.plans({ label: plan })).toMatchObject({
      plans: [{ plan_id: plan, title: "Trip to Rome" }],
      cursor: null,
    });
    expect(await client.snapshot(plan)).toMatchObject({ snapshot: { title: "Trip to Rome" }, place: { offset: 2 } });
    expect(await client.snapshot("no-events")).toBeNull();
    const page = await client.events(plan, { after: 1 });
    expect(page).toMatchObject({ offset: 2, head: 2, events: [{ type: "agent_message", offset: 2 }] });
    await expect(client.events(plan, { after: 9, epoch: page.epoch })).rejects.toMatchObject({
      code: "continuity_lost",
    });
    expect(await client.templates()).toBeInstanceOf(Array);
    await expect(client.start("no-such-template")).rejects.toBeInstanceOf(PlancastError);
  });

  test("a deleted plan is refused", async () => {
    const client = await through();
    const plan = freshPlan();
    await publish(plan, 1, 1);
    follow(client, plan);
    await live(client, plan);
    await client.remove(plan);
    const view = await eventually(
      () => client.plan(plan).getSnapshot(),
      ({ phase }) => phase === "refused",
    );
    expect(view.error).toMatchObject({ code: "plan_deleted", planId: plan });
  });

  test("sample traffic, as the page requests it", async () => {
    const client = await through();
    const plan = freshPlan();
    follow(client, plan);
    await client.sampleTraffic(plan, { speed: 1000 });
    const { snapshot } = await eventually(
      () => client.plan(plan).getSnapshot(),
      (view) => view.snapshot?.status === "completed",
    );
    expect(snapshot?.steps).toHaveLength(2);
  });
});
