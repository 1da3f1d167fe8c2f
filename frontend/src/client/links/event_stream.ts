/** A message of an event stream (HTML, server-sent events). */
export interface Message {
  readonly event: string;
  readonly data: string;
}

/** Parser of an event stream: turns pieces of text into messages. Comments are ignored. */
export class EventStreamReader {
  #rest = "";
  #event = "";
  #data: string[] = [];

  read(piece: string): Message[] {
    const lines = (this.#rest + piece).split(/\r\n|\n|\r(?!$)/);
    this.#rest = lines.pop() ?? "";
    return lines.map((line) => this.#line(line)).filter((message) => message !== undefined);
  }

  #line(line: string): Message | undefined {
    if (line === "") return this.#end();
    const [, field, value = ""] = /^([^:]*)(?:: ?(.*))?$/s.exec(line) ?? [];
    if (field === "event") this.#event = value;
    else if (field === "data") this.#data.push(value);
    return undefined;
  }

  #end(): Message | undefined {
    const message = { event: this.#event || "message", data: this.#data.join("\n") };
    const empty = this.#data.length === 0;
    this.#event = "";
    this.#data = [];
    return empty ? undefined : message;
  }
}
