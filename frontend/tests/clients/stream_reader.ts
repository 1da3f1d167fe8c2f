/** Reads plans with the stock Durable Streams client. */
import { stream } from "@durable-streams/client";
import { expect } from "vitest";
import { eventually } from "../eventually.js";

export interface Frame {
  readonly type: string;
  readonly offset: number;
  readonly data: Readonly<Record<string, unknown>>;
}

export type Live = boolean | "long-poll" | "sse";

/** A reader that keeps what it was given. As a page does, it opens a stream again that ended with an error. */
export class StreamReader {
  readonly frames: Frame[] = [];
  offset: string;
  closed: Promise<void> = Promise.resolve();
  readonly #stop = new AbortController();
  readonly #url: string;
  readonly #live: Live;

  private constructor(url: string, live: Live, offset: string) {
    this.#url = url;
    this.#live = live;
    this.offset = offset;
  }

  static async of(url: string, live: Live, offset = "-1"): Promise<StreamReader> {
    const reader = new StreamReader(url, live, offset);
    await reader.#open();
    return reader;
  }

  get offsets(): readonly number[] {
    return this.frames.map((frame) => frame.offset);
  }

  async until(count: number): Promise<void> {
    await eventually(
      () => this.offsets,
      (offsets) => offsets.length >= count,
      60_000,
    );
  }

  stop(): void {
    this.#stop.abort();
  }

  async #open(): Promise<void> {
    const options = { sseResilience: { logWarnings: false }, signal: this.#stop.signal };
    const response = await stream<Frame>({ url: this.#url, live: this.#live, offset: this.offset, ...options });
    this.closed = response.closed.catch(() => (this.#stop.signal.aborted ? undefined : this.#open()));
    response.subscribeJson((batch) => {
      this.frames.push(...batch.items);
      expect(this.offset === "-1" || batch.offset >= this.offset, "offsets rise as text").toBe(true);
      this.offset = batch.offset;
    });
  }
}

export const numbers = (count: number): readonly number[] => Array.from({ length: count }, (_, at) => at + 1);
