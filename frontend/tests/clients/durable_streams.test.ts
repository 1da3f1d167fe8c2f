/** Plans through the stock Durable Streams client, against a real hub (P-DST-1 to P-DST-8). */
import { DurableStream, FetchError, IdempotentProducer, stream } from "@durable-streams/client";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Hub, message } from "../hub/hub.js";
import { Proxy } from "../hub/proxy.js";
import { type Frame, numbers, StreamReader } from "./stream_reader.js";

const END = { type: "plan_update", data: { status: "completed" } } as const;

let hub: Hub;
let plans = 0;

beforeAll(async () => {
  hub = await Hub.start();
});
afterAll(async () => hub.close());

function newPlan(at = hub.url): { id: string; url: string } {
  const id = `stream-${++plans}`;
  return { id, url: `${at}/streams/${id}` };
}

const texts = (count: number) => numbers(count).map((n) => message(`${n}`));

describe("reading", () => {
  test("a plan to its end, without following", async () => {
    const plan = newPlan();
    await hub.publish(plan.id, [...texts(3), END]);
    const response = await stream<Frame>({ url: plan.url, live: false });
    const frames = await response.json();
    expect(frames.map((frame) => frame.offset)).toEqual([1, 2, 3, 4]);
    expect(response.streamClosed).toBe(true);
    const head = await DurableStream.head({ url: plan.url });
    expect(head).toMatchObject({ exists: true, contentType: "application/json", streamClosed: true });
    expect(head.exists && head.offset).toBe(response.offset);
  });

  test.each([true, "long-poll", "sse"] as const)("following until the plan ends (live: %s)", async (live) => {
    const plan = newPlan();
    await hub.publish(plan.id, texts(2));
    const [reader, beside] = [await StreamReader.of(plan.url, live), await StreamReader.of(plan.url, live)];
    await reader.until(2);
    for (const text of texts(3)) await hub.publish(plan.id, [text]);
    await reader.until(5);
    reader.stop(); // leaving is not cancelling
    const again = await StreamReader.of(plan.url, live, reader.offset);
    await hub.publish(plan.id, [message("last"), END]);
    await again.until(2);
    await beside.until(7);
    await Promise.all([again.closed, beside.closed]);
    expect(again.offsets).toEqual([6, 7]);
    expect(beside.offsets).toEqual(numbers(7));
  });

  test.each(["long-poll", "sse"] as const)("a cut connection (live: %s)", async (live) => {
    const proxy = await Proxy.before(hub.port);
    const plan = newPlan(proxy.url);
    await hub.publish(plan.id, texts(2));
    const reader = await StreamReader.of(plan.url, live);
    await reader.until(2);
    proxy.setAway(true);
    await hub.publish(plan.id, texts(2));
    proxy.setAway(false);
    await hub.publish(plan.id, [END]);
    await reader.until(5);
    expect(reader.offsets).toEqual(numbers(5));
    reader.stop();
    await proxy.close();
  });

  test("an unknown plan, and an offset of another history", async () => {
    const plan = newPlan();
    expect(await DurableStream.head({ url: plan.url })).toEqual({ exists: false });
    await expect(stream({ url: plan.url, live: false })).rejects.toThrow("there is no such plan");
    await hub.publish(plan.id, texts(1));
    const other = stream({ url: plan.url, live: false, offset: "0000000000000001_other" });
    await expect(other).rejects.toThrow("begin again with offset=-1");
    await expect(other).rejects.toBeInstanceOf(FetchError);
  });
});

describe("appending", () => {
  test("a plan from its first event to its end", async () => {
    const plan = newPlan();
    const handle = new DurableStream({ url: plan.url, contentType: "application/json" });
    await handle.append(JSON.stringify(message("one")));
    await handle.append(JSON.stringify(message("two")));
    const reader = await StreamReader.of(plan.url, "long-poll");
    await handle.close({ body: JSON.stringify({ type: "plan_update", data: { status: "error", content: "No." } }) });
    await reader.until(3);
    await reader.closed;
    expect(reader.frames.map((frame) => frame.data["content"])).toEqual(["one", "two", "No."]);
    await expect(handle.append(JSON.stringify(message("late")))).rejects.toThrow();
    await expect(handle.close()).resolves.toMatchObject({ finalOffset: reader.offset });
  });

  test("what is no event is refused in words", async () => {
    const handle = new DurableStream({ url: newPlan().url, contentType: "application/json" });
    await expect(handle.append('{"type":"unknown","data":{}}')).rejects.toThrow("unknown event type");
  });

  test("an idempotent producer: many batches at once, each stored once and in order", async () => {
    const plan = newPlan();
    const errors: Error[] = [];
    const handle = new DurableStream({ url: plan.url, contentType: "application/json" });
    const options = { lingerMs: 0, maxBatchBytes: 200, onError: (error: Error) => errors.push(error) };
    const producer = new IdempotentProducer(handle, "analyst", options);
    for (const text of texts(60)) producer.append(JSON.stringify(text));
    await producer.flush();
    await producer.close(JSON.stringify(END));
    expect(errors).toEqual([]);
    const frames = await (await stream<Frame>({ url: plan.url, live: false })).json();
    expect(frames.slice(0, 60).map((frame) => frame.data["content"])).toEqual(numbers(60).map(String));
    expect(frames).toHaveLength(61);
    await expect(new IdempotentProducer(handle, "other").close(JSON.stringify(END))).rejects.toThrow();
  });

  test("a successor takes over, and its predecessor is refused", async () => {
    const plan = newPlan();
    const handle = new DurableStream({ url: plan.url, contentType: "application/json" });
    const first = new IdempotentProducer(handle, "analyst");
    first.append(JSON.stringify(message("one")));
    await first.flush();
    const second = new IdempotentProducer(handle, "analyst", { epoch: 1 });
    second.append(JSON.stringify(message("two")));
    await second.flush();
    const errors: Error[] = [];
    const zombie = new IdempotentProducer(handle, "analyst", { onError: (error) => errors.push(error) });
    zombie.append(JSON.stringify(message("zombie")));
    await zombie.flush().catch(() => undefined);
    expect(errors.map((error) => error.name)).toEqual(["StaleEpochError"]);
    const claimant = new IdempotentProducer(handle, "analyst", { autoClaim: true });
    claimant.append(JSON.stringify(message("three")));
    await claimant.flush();
    expect(claimant.epoch).toBe(2);
    const frames = await (await stream<Frame>({ url: plan.url, live: false })).json();
    expect(frames.map((frame) => frame.data["content"])).toEqual(["one", "two", "three"]);
  });
});
