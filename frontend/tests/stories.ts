/** Arbitrary events of a plan: few ids, so that events affect the same parts, and many kinds of text. */
import fc, { type Arbitrary } from "fast-check";
import type { PlanEvent } from "../src/client/index.js";

const PLAN_ID = "plan-1";
const ids = fc.constantFrom("a", "b", "c", "@3", "@@5", "__proto__");
const agents = fc.constantFrom("Data Analyst", "Business Advisor", "Agentin Zoë 🎈");
const texts = fc.oneof(
  fc.string({ unit: "binary", maxLength: 20 }),
  fc.constantFrom("", "Looking… ", '"\\\n\0', "😀", "constructor"),
);
const moments = fc
  .oneof(fc.integer({ min: -5_000, max: 5_000 }), fc.constantFrom(-(10 ** 12), 10 ** 12))
  .map((ms) => new Date(Date.UTC(2026, 0, 1) + ms).toISOString());
const percents = fc.integer({ min: 0, max: 100 });
const attempts = fc.integer({ min: 1, max: 4 });
const messageTypes = fc.constantFrom("thinking", "action", "result", "clarification_needed");
const json = fc.jsonValue({ maxDepth: 2, stringUnit: "binary" }).map(plain);
const objects = fc.dictionary(fc.constantFrom("x", "y z", "é"), json, { maxKeys: 3 });

/** Numbers that are equal in every language: within 64 bits, and no negative zero. */
function plain(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value), (_, one: unknown) =>
    typeof one === "number" ? (one % 1000) + 0 : one,
  ) as unknown;
}

function event(
  type: PlanEvent["type"],
  needed: Record<string, Arbitrary<unknown>>,
  more: Record<string, Arbitrary<unknown>>,
) {
  const always = { plan_id: fc.constant(PLAN_ID), timestamp: moments, ...needed };
  return fc
    .record({ ...always, ...more }, { requiredKeys: Object.keys(always) as "plan_id"[] })
    .map((data) => ({ type, data }) as unknown as PlanEvent);
}

const counts = fc.oneof(fc.nat({ max: 1_000_000_000 }), fc.constant(0));
const usages = fc.record(
  {
    model: fc.constantFrom("gpt-5", "claude"),
    input_tokens: counts,
    output_tokens: counts,
    cached_tokens: counts,
    reasoning_tokens: counts,
    requests: fc.nat({ max: 1_000_000 }),
    cost: fc.constantFrom("0", "0.1", "10.50", "0.000000000001", "999999999.999999999999"),
    currency: fc.constantFrom("USD", "EUR"),
  },
  { requiredKeys: [] },
);

const planStatus = fc.constantFrom("pending", "in_progress", "waiting", "completed", "error", "cancelled");
const stepStatus = fc.constantFrom(
  ...["pending", "in_progress", "waiting", "retrying", "completed", "error", "skipped", "cancelled", "stalled"],
);
const common = { content: texts, agent_name: agents, title: texts, progress: percents, data: objects };

export const tokens = event(
  "agent_message",
  {
    agent_name: agents,
    content: texts,
    message_type: fc.constant("thinking"),
    message_id: ids,
    append: fc.constant(true),
  },
  {},
);

export const events: Arbitrary<PlanEvent> = fc.oneof(
  event(
    "plan_update",
    { status: planStatus },
    {
      ...common,
      step_id: ids,
      message_type: messageTypes,
      owner: fc.constantFrom("ann", "bob"),
      labels: fc.array(fc.constantFrom("q3", "q4"), { maxLength: 2 }),
    },
  ),
  event(
    "step_update",
    { step_id: ids, status: stepStatus },
    { ...common, attempt: attempts, max_attempts: attempts, needs: fc.array(ids, { maxLength: 2 }), usage: usages },
  ),
  event(
    "agent_message",
    { agent_name: agents, content: texts, message_type: messageTypes },
    {
      step_id: ids,
      message_id: ids,
      append: fc.boolean(),
      final: fc.boolean(),
      error: texts,
      data: objects,
      usage: usages,
    },
  ),
  tokens,
  tokens,
  event(
    "tool_call",
    {
      agent_name: agents,
      call_id: ids,
      tool_name: fc.constant("sql"),
      phase: fc.constantFrom("started", "completed", "error"),
    },
    { arguments: json, result: json, step_id: ids, usage: usages },
  ),
  event(
    "input_request",
    { request_id: ids, kind: fc.constantFrom("approval", "clarification", "choice"), prompt: texts },
    {
      options: fc.array(json, { maxLength: 3 }),
      schema: objects,
      step_id: ids,
      agent_name: agents,
      expires_at: moments,
    },
  ),
  event("input_response", { request_id: ids, at: moments }, { answer: json, by: agents }),
  event(
    "artifact",
    { artifact_id: ids, name: fc.constant("orders.csv"), mime_type: fc.constant("text/csv") },
    { url: fc.constant("https://example.org/1"), data: json, step_id: ids },
  ),
);

/** Any sequence of events, some of an unknown type (null). */
export const stories = fc.array(fc.option(events, { freq: 10 }), { maxLength: 40 });
export const limits = fc.constantFrom(768 * 1024, 3_000, 800, 0);
