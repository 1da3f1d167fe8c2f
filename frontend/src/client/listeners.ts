/** Whoever wants to be called back. One that throws keeps nobody else from being called. */
export class Listeners<Said extends readonly unknown[] = []> {
  readonly #all = new Set<{ readonly call: (...said: Said) => void }>();
  readonly #later: (callback: () => void) => void;

  /** What a listener throws is thrown again, `later`. */
  constructor(later: (callback: () => void) => void) {
    this.#later = later;
  }

  get size(): number {
    return this.#all.size;
  }

  add(call: (...said: Said) => void): () => void {
    const one = { call };
    this.#all.add(one);
    return () => void this.#all.delete(one);
  }

  tell(...said: Said): void {
    for (const { call } of [...this.#all]) {
      try {
        call(...said);
      } catch (error) {
        this.#later(() => {
          throw error;
        });
      }
    }
  }
}
