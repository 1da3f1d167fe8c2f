/** What lies between a client and a hub: it lets through, cuts, and blocks what some proxies block. */
import { connect, createServer, type Server, type Socket } from "node:net";

export class Proxy {
  readonly #server: Server;
  readonly #pairs = new Set<readonly [Socket, Socket]>();
  readonly #target: number;
  url = "";
  /** Nothing comes up, and what is up is cut. */
  away = false;
  /** Requests to upgrade are hung up on. */
  blocksWebSockets = false;
  /** Streams of events are held back. */
  holdsStreams = false;
  /** How many requests of each kind came. */
  readonly counts = { websocket: 0, stream: 0, poll: 0 };

  private constructor(target: number) {
    this.#target = target;
    this.#server = createServer((client) => this.#meet(client));
  }

  static async before(port: number): Promise<Proxy> {
    const proxy = new Proxy(port);
    await new Promise<void>((resolve) => proxy.#server.listen(0, "127.0.0.1", resolve));
    const address = proxy.#server.address();
    if (typeof address === "object" && address) proxy.url = `http://127.0.0.1:${address.port}`;
    return proxy;
  }

  /** Breaks all that is open. */
  cut(): void {
    for (const pair of this.#pairs) for (const socket of pair) socket.destroy();
  }

  /** The network goes away, or comes back. */
  setAway(away: boolean): void {
    this.away = away;
    if (away) this.cut();
  }

  async close(): Promise<void> {
    this.cut();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #meet(client: Socket): void {
    client.on("error", () => undefined);
    if (this.away) {
      client.destroy();
      return;
    }
    const hub = connect(this.#target, "127.0.0.1");
    hub.on("error", () => client.destroy());
    const pair = [client, hub] as const;
    this.#pairs.add(pair);
    let held = false;
    client.on("data", (data) => {
      const asked = this.#look(data.toString("latin1"));
      if (asked === "refused") client.destroy();
      else hub.write(data);
      held ||= asked === "held";
    });
    hub.on("data", (data) => held || client.write(data));
    const end = () => {
      this.#pairs.delete(pair);
      client.destroy();
      hub.destroy();
    };
    client.on("close", end);
    hub.on("close", end);
  }

  #look(request: string): "through" | "refused" | "held" {
    const [line = ""] = request.split("\r\n", 1);
    if (/^upgrade: *websocket/im.test(request)) {
      this.counts.websocket++;
      return this.blocksWebSockets ? "refused" : "through";
    }
    if (/^GET \S*stream\?/.test(line)) {
      this.counts.stream++;
      return this.holdsStreams ? "held" : "through";
    }
    if (/^GET \S*events\?/.test(line)) this.counts.poll++;
    return "through";
  }
}
