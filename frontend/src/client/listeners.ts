/** A set of listeners. If one throws, the others are still called. */
export class Listeners<Args extends readonly unknown[] = []> {
  readonly #all = new Set<{ readonly call: (...args: Args) => void }>();
  readonly #later: (callback: () => void) => void;

  /** `later` runs a callback that rethrows what a listener threw. */
  constructor(later: (callback: () => void) => void) {
    this.#later = later;
  }

  get size(): number {
    return this.#all.size;
  }

  add(call: (...args: Args) => void): () => void {
    const one = { call };
    this.#all.add(one);
    return () => void this.#all.delete(one);
  }

  notify(...args: Args): void {
    for (const { call } of [...this.#all]) {
      try {
        call(...args);
      } catch (error) {
        this.#later(() => {
          throw error;
        });
      }
    }
  }
}
