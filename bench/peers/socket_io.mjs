/** Socket.IO on Node: one room per plan. `node socket_io.mjs PORT FEED`: lines received on port FEED are sent to all subscribers. */
import { createServer } from "node:http";
import { createServer as createFeed } from "node:net";
import { createInterface } from "node:readline";
import { Server } from "socket.io";

const [port, feed] = process.argv.slice(2).map(Number);
const host = "127.0.0.1";
const http = createServer();
const io = new Server(http, { pingInterval: 600_000 }); // the benchmark's clients don't answer pings

io.on("connection", (socket) => {
  const { plan } = socket.handshake.query;
  socket.join(plan);
  socket.emit("subscription_confirmed", plan);
});
http.listen(port, host);

createFeed((producer) => {
  createInterface({ input: producer }).on("line", (line) => {
    const event = JSON.parse(line);
    io.to(event.plan_id).emit(event.type, event);
  });
}).listen(feed, host);
