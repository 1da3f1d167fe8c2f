/** Reads a plan's history from the hub, page by page, up to the offset that is needed. */
import { type Client, emptySnapshot, type Place, PlancastError } from "../../../client/index.js";
import { PlanHistory } from "./plan_history.js";

const PAGE = 500;
/** The most events that are read and kept. */
const MAX_EVENTS = 50_000;

export interface HistoryView {
  readonly past: PlanHistory;
  /** The offset up to which it is known; changes as it grows. */
  readonly end: number;
  readonly loading: boolean;
  readonly error: PlancastError | null;
}

export type HistorySource = Pick<Client, "events" | "snapshot">;

/** Store of one plan's history. `want` starts reading; it stops when there are no subscribers. */
export class HistoryReader {
  readonly #client: HistorySource;
  readonly #planId: string;
  /** The epoch being read; a plan that is restarted gets another one. */
  readonly #epoch: { readonly epoch?: string };
  /** A position from a link, which must be verified before anything is read. */
  #unverified: Place | null;
  readonly #listeners = new Set<() => void>();
  #wanted = 0;
  #reading: AbortController | null = null;
  #view: HistoryView;

  constructor(client: HistorySource, planId: string, linked: Place | null, epoch = "") {
    this.#client = client;
    this.#planId = planId;
    this.#epoch = epoch ? { epoch } : {};
    this.#unverified = linked;
    this.#view = { past: new PlanHistory(emptySnapshot(planId)), end: 0, loading: false, error: null };
  }

  readonly getSnapshot = (): HistoryView => this.#view;

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

  /** Reads until this offset is known. After a failure, another call retries. */
  readonly want = (offset: number): void => {
    this.#wanted = Math.max(this.#wanted, Math.min(offset, this.#view.past.start + MAX_EVENTS));
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
    await this.#verify(signal);
    while (this.#view.past.end < this.#wanted) if (!(await this.#readPage(signal))) return;
  }

  /** Reads a page; false: there are no more events, or reading was stopped. */
  async #readPage(signal: AbortSignal): Promise<boolean> {
    const { past } = this.#view;
    try {
      const page = await this.#client.events(this.#planId, { after: past.end, ...this.#epoch, limit: PAGE, signal });
      if (signal.aborted || page.offset <= past.end) return false;
      past.add(page.events, page.offset);
      this.#show({ end: past.end });
      return true;
    } catch (error) {
      if (past.end > 0 || asPlancastError(error).code !== "continuity_lost") throw error;
      return this.#startAtSnapshot(signal);
    }
  }

  /** Verifies that a link's position is in the current history; throws `continuity_lost` if not. */
  async #verify(signal: AbortSignal): Promise<void> {
    if (!this.#unverified) return;
    const { offset, epoch } = this.#unverified;
    this.#unverified = null;
    await this.#client.events(this.#planId, { after: offset, epoch, limit: 1, signal });
  }

  /** The first events were trimmed: the history starts at the current snapshot. */
  async #startAtSnapshot(signal: AbortSignal): Promise<boolean> {
    const now = await this.#client.snapshot(this.#planId);
    if (signal.aborted || !now || now.snapshot.offset === 0) return false;
    const past = new PlanHistory(now.snapshot);
    this.#show({ past, end: past.end });
    return true;
  }

  #stopped(reading: AbortController, error: PlancastError | null): void {
    if (this.#reading !== reading) return;
    this.#reading = null;
    this.#show({ loading: false, error });
  }

  #show(news: Partial<HistoryView>): void {
    this.#view = { ...this.#view, ...news };
    for (const listener of [...this.#listeners]) listener();
  }
}

function asPlancastError(error: unknown): PlancastError {
  return error instanceof PlancastError ? error : new PlancastError("internal", String(error));
}
