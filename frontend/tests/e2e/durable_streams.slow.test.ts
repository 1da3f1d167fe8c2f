/** The stock Durable Streams client while its hub is restarted and killed. */
import { expect, test } from "vitest";
import { numbers, StreamReader } from "../clients/stream_reader.js";
import { eventually } from "../eventually.js";
import { Hub, message } from "../hub/hub.js";

const END = { type: "plan_update", data: { status: "completed" } } as const;

test.each(["long-poll", "sse"] as const)("a hub that is restarted, and one that is killed (live: %s)", async (live) => {
  const own = await Hub.start();
  const plan = { id: "plan-1", url: `${own.url}/streams/plan-1` };
  await own.publish(plan.id, [message("one"), message("two")]);
  const reader = await StreamReader.of(plan.url, live);
  await reader.until(2);
  await own.end("SIGTERM");
  await own.begin();
  await own.publish(plan.id, [message("one"), message("two")]);
  await reader.until(4);
  await own.end("SIGKILL");
  await own.begin();
  await own.publish(plan.id, [END]);
  await reader.until(5);
  await eventually(
    () => reader.offset,
    (offset) => offset.startsWith("0000000000000005_"),
  );
  expect(reader.offsets).toEqual(numbers(5));
  await own.close();
});
