import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { stream } from "@durable-streams/client";

const plan = process.argv[2] ?? "plan-1";
const saved = `${plan}.offset`;
const response = await stream({
  url: `http://127.0.0.1:8000/streams/${plan}`,
  offset: existsSync(saved) ? readFileSync(saved, "utf8") : "-1",
  live: true,
});
response.subscribeJson(({ items, offset }) => {
  for (const { offset: at, type, data } of items) console.log(at, type, data.content ?? data.title ?? data.status);
  writeFileSync(saved, offset);
});
