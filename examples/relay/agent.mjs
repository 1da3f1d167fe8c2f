// An AG-UI server that knows nothing of Plancast: it streams an answer, asks a question, and ends. Its state is in memory.
import { createServer } from "node:http";

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function* run({ threadId, runId, resume }) {
  yield { type: "RUN_STARTED", threadId, runId };
  const text = resume ? `You said ${resume[0].payload}. It is done.` : "Umbrellas sell best on Mondays.";
  yield { type: "STEP_STARTED", stepName: resume ? "Send" : "Look" };
  yield { type: "TEXT_MESSAGE_START", messageId: runId, role: "assistant" };
  for (const delta of text.match(/\S+\s*/g)) {
    yield { type: "TEXT_MESSAGE_CONTENT", messageId: runId, delta };
    await sleep(200);
  }
  yield { type: "TEXT_MESSAGE_END", messageId: runId };
  yield { type: "STEP_FINISHED", stepName: resume ? "Send" : "Look" };
  const question = {
    id: "send",
    reason: "confirmation",
    message: "Send the offer?",
    responseSchema: { enum: ["yes", "no"] },
  };
  const outcome = resume ? { type: "success" } : { type: "interrupt", interrupts: [question] };
  yield { type: "RUN_FINISHED", threadId, runId, outcome };
}

const server = createServer(async (request, response) => {
  let body = "";
  for await (const chunk of request.setEncoding("utf8")) body += chunk;
  response.writeHead(200, { "Content-Type": "text/event-stream" });
  for await (const event of run(JSON.parse(body))) response.write(`data: ${JSON.stringify(event)}\n\n`);
  response.end();
});
server.listen(Number(process.argv[2] ?? 9000), "127.0.0.1", () => console.log("listening on", server.address().port));
