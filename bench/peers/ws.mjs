/** `ws` on Node: a set of sockets per plan, one send() per socket. `node ws.mjs PORT FEED`: lines received on port FEED are sent to all subscribers. */
import { createServer } from "node:net";
import { createInterface } from "node:readline";
import { WebSocketServer } from "ws";

const [port, feed] = process.argv.slice(2).map(Number);
const host = "127.0.0.1";
const plans = new Map();

new WebSocketServer({ host, port }).on("connection", (socket) => {
  socket.on("message", (data) => {
    const { plan_id } = JSON.parse(data);
    if (!plans.has(plan_id)) plans.set(plan_id, new Set());
    plans.get(plan_id).add(socket);
    socket.on("close", () => plans.get(plan_id).delete(socket));
    socket.send(JSON.stringify({ type: "subscription_confirmed", plan_id }));
  });
});

createServer((producer) => {
  createInterface({ input: producer }).on("line", (line) => {
    const event = JSON.parse(line);
    const text = JSON.stringify(event);
    for (const socket of plans.get(event.plan_id) ?? []) socket.send(text);
  });
}).listen(feed, host);
