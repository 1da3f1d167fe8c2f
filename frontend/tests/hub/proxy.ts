/** A proxy between a client and a hub that can cut connections, and block what some real proxies block. */
import { connect, createServer, type Server, type Socket } from "node:net";

export class Proxy {
  readonly #server: Server;
  readonly #pairs = new Set<readonly [Socket, Socket]>();
  readonly #target: number;
  url = "";
  /** Refuses new connections; the open ones are cut. */
  away = false;
  /** Closes the connection on upgrade requests. */
  blocksWebSockets = false;
  /** Holds back event streams. */
  holdsStreams = false;
  /** The number of requests of each kind. */
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

  /** Cuts all open connections. */
  cut(): void {
    for (const pair of this.#pairs) for (const socket of pair) socket.destroy();
  }

  /** Takes the network down, or up again. */
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
