/** The steps (or messages, …) of a draft, by id, in order of first appearance. */
export class Parts<Part> {
  readonly idOf: (part: Part) => string;
  readonly #from: readonly Part[];
  #byId: Map<string, Part> | undefined;
  #changed = false;

  constructor(from: readonly Part[], idOf: (part: Part) => string) {
    this.#from = from;
    this.idOf = idOf;
  }

  get(id: string): Part | undefined {
    return this.#map().get(id);
  }

  set(part: Part): void {
    this.#changed = true;
    this.#map().set(this.idOf(part), part);
  }

  delete(part: Part): void {
    this.#changed = true;
    this.#map().delete(this.idOf(part));
  }

  values(): Iterable<Part> {
    return this.#byId?.values() ?? this.#from;
  }

  /** All parts; the original array if nothing changed. */
  finish(): readonly Part[] {
    return this.#changed ? [...this.#map().values()] : this.#from;
  }

  /** Created on first use, since most events touch one kind of part. */
  #map(): Map<string, Part> {
    return (this.#byId ??= new Map(this.#from.map((part) => [this.idOf(part), part])));
  }
}

/** A copy with some of the fields. */
export function pick<From, Name extends keyof From>(from: From, ...names: Name[]): Pick<From, Name> {
  return Object.fromEntries(names.map((name) => [name, from[name]])) as Pick<From, Name>;
}
