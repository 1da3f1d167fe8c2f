/** The steps (or messages, …) of a snapshot while it changes: by id, in order of first mention. */
export class Parts<Part> {
  #from: readonly Part[];
  #idOf: (part: Part) => string;
  #byId: Map<string, Part> | undefined;
  #changed = false;

  constructor(from: readonly Part[], idOf: (part: Part) => string) {
    this.#from = from;
    this.#idOf = idOf;
  }

  get(id: string): Part | undefined {
    return this.#map().get(id);
  }

  set(id: string, part: Part): void {
    this.#changed = true;
    this.#map().set(id, part);
  }

  delete(id: string): void {
    this.#changed = true;
    this.#map().delete(id);
  }

  values(): Iterable<Part> {
    return this.#byId?.values() ?? this.#from;
  }

  /** All of them; the very array they came from if nothing changed. */
  finish(): readonly Part[] {
    return this.#changed ? [...this.#map().values()] : this.#from;
  }

  /** Made when it is first needed: most events touch one kind of part. */
  #map(): Map<string, Part> {
    return (this.#byId ??= new Map(this.#from.map((part) => [this.#idOf(part), part])));
  }
}
