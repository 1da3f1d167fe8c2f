import { DurableStream, IdempotentProducer } from "@durable-streams/client";

const plan = process.argv[2] ?? "plan-1";
const url = `http://127.0.0.1:8000/streams/${plan}`;
const agent = new IdempotentProducer(new DurableStream({ url, contentType: "application/json" }), "analyst", {
  autoClaim: true,
});

agent.append(JSON.stringify({ type: "plan_update", data: { title: "Autumn campaign" } }));
for (const content of ["Looking at the orders…", "Comparing the months…", "Umbrellas sell best on Mondays."]) {
  agent.append(JSON.stringify({ type: "agent_message", data: { agent_name: "Analyst", content } }));
  await new Promise((resolve) => setTimeout(resolve, 1_000));
}
await agent.close(JSON.stringify({ type: "plan_update", data: { status: "completed" } }));
