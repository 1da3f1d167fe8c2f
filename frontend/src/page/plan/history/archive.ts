/** Reads a plan's past from the hub, page by page, as far as somebody wants to look. */
import { type Client, emptySnapshot, type Place, PlancastError } from "../../../client/index.js";
import { Past } from "./past.js";

const PAGE = 500;
/** So many events a page can hold and be at ease. */
const EVENTS_AT_MOST = 50_000;

export interface ArchiveView {
  readonly past: Past;
  /** How much of it is known: changes as it grows. */
  readonly end: number;
  readonly loading: boolean;
  readonly error: PlancastError | null;
}

export type Asked = Pick<Client, "events" | "snapshot">;

/** A store for one plan. `want` begins to read; when nobody is subscribed any more, it stops. */
export class Archive {
  readonly #client: Asked;
  readonly #planId: string;
  /** Of the history that is read; a plan that begins anew has another. */
  readonly #epoch: { readonly epoch?: string };
  /** A moment that has to be of this plan's history before anything is read. */
  #unproved: Place | null;
  readonly #listeners = new Set<() => void>();
  #wanted = 0;
  #reading: AbortController | null = null;
  #view: ArchiveView;

  constructor(client: Asked, planId: string, linked: Place | null, epoch = "") {
    this.#client = client;
    this.#planId = planId;
    this.#epoch = epoch ? { epoch } : {};
    this.#unproved = linked;
    this.#view = { past: new Past(emptySnapshot(planId)), end: 0, loading: false, error: null };
  }

  readonly getSnapshot = (): ArchiveView => this.#view;

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
      if (this.#listeners.size > 0) return;
      this.#reading?.abort();
      this.#reading = null;
      this.#view = { ...this.#view, loading: false };
    };
  };

  /** Reads on until this offset is known. After a failure it tries again. */
  readonly want = (offset: number): void => {
    this.#wanted = Math.max(this.#wanted, Math.min(offset, this.#view.past.start + EVENTS_AT_MOST));
    if (this.#reading || this.#view.past.end >= this.#wanted) return;
    const reading = new AbortController();
    this.#reading = reading;
    this.#show({ loading: true, error: null });
    void this.#read(reading.signal).then(
      () => this.#stopped(reading, null),
      (error: unknown) => this.#stopped(reading, asPlancastError(error)),
    );
  };

  async #read(signal: AbortSignal): Promise<void> {
    await this.#prove(signal);
    while (this.#view.past.end < this.#wanted) if (!(await this.#readOn(signal))) return;
  }

  /** Reads a page; false: there is no more, or nobody wants it. */
  async #readOn(signal: AbortSignal): Promise<boolean> {
    const { past } = this.#view;
    try {
      const page = await this.#client.events(this.#planId, { after: past.end, ...this.#epoch, limit: PAGE, signal });
      if (signal.aborted || page.offset <= past.end) return false;
      past.add(page.events, page.offset);
      this.#show({ end: past.end });
      return true;
    } catch (error) {
      if (past.end > 0 || asPlancastError(error).code !== "continuity_lost") throw error;
      return this.#beginLater(signal);
    }
  }

  /** The moment of a link counts only if its history is the one that there is. */
  async #prove(signal: AbortSignal): Promise<void> {
    if (!this.#unproved) return;
    const { offset, epoch } = this.#unproved;
    this.#unproved = null;
    await this.#client.events(this.#planId, { after: offset, epoch, limit: 1, signal });
  }

  /** The beginning was let go: the past begins here and now. */
  async #beginLater(signal: AbortSignal): Promise<boolean> {
    const now = await this.#client.snapshot(this.#planId);
    if (signal.aborted || !now || now.snapshot.offset === 0) return false;
    const past = new Past(now.snapshot);
    this.#show({ past, end: past.end });
    return true;
  }

  #stopped(reading: AbortController, error: PlancastError | null): void {
    if (this.#reading !== reading) return;
    this.#reading = null;
    this.#show({ loading: false, error });
  }

  #show(news: Partial<ArchiveView>): void {
    this.#view = { ...this.#view, ...news };
    for (const listener of [...this.#listeners]) listener();
  }
}

function asPlancastError(error: unknown): PlancastError {
  return error instanceof PlancastError ? error : new PlancastError("internal", String(error));
}
