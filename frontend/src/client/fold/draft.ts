/**
 * A mutable copy of a snapshot, and the rules that bound its size.
 *
 * Messages, tool calls, artifacts and answered inputs have a weight, and their total stays within a limit. Beyond it the
 * oldest parts are omitted: first thoughts, actions and finished tool calls, then the rest, and unfinished parts only when
 * nothing else is left. Steps, pending inputs and the plan's own fields are neither weighed nor omitted.
 */
import type {
  ArtifactState,
  InputState,
  MessageState,
  Omitted,
  PlanStatus,
  Snapshot,
  StepState,
  ToolCallState,
} from "../../wire/index.js";
import { Parts } from "./parts.js";
import { fieldWeight, partWeight, textWeight } from "./weight.js";

export const WEIGHT_LIMIT = 768 * 1024;

export type Mutable<T> = { -readonly [Key in keyof T]: T[Key] };

/** Whether a plan with this status has ended: `completed`, `error` or `cancelled`. */
export function isPlanEnded(status: PlanStatus): boolean {
  return status === "completed" || status === "error" || status === "cancelled";
}

interface Weighed {
  readonly part: { readonly offset: number };
  readonly kind: keyof Omitted;
  /** The order of omission: 0 first, then 1, then 2. */
  readonly rank: number;
  remove(): void;
}

/** A snapshot that is being changed by a fold. */
export class Draft {
  /** The plan's own fields; its parts are in the collections. */
  readonly plan: Mutable<Snapshot>;
  readonly steps: Parts<StepState>;
  readonly messages: Parts<MessageState>;
  readonly toolCalls: Parts<ToolCallState>;
  readonly inputs: Parts<InputState>;
  readonly artifacts: Parts<ArtifactState>;
  #limit: number;

  constructor(from: Snapshot, limit: number) {
    this.plan = { ...from };
    this.#limit = limit;
    this.steps = new Parts(from.steps, (step) => step.step_id);
    this.messages = new Parts(from.messages, (message) => message.message_id);
    this.toolCalls = new Parts(from.tool_calls, (call) => call.call_id);
    this.inputs = new Parts(from.inputs, (request) => request.request_id);
    this.artifacts = new Parts(from.artifacts, (artifact) => artifact.artifact_id);
  }

  get ended(): boolean {
    return isPlanEnded(this.plan.status);
  }

  /** An unused id for a message that has none. */
  freeMessageId(): string {
    let id = `@${this.plan.offset}`;
    while (this.messages.get(id)) id = `@${id}`;
    return id;
  }

  addText(message: MessageState, text: string): MessageState {
    const grown = { ...message, content: message.content + text };
    this.messages.set(grown);
    this.plan.weight += textWeight(text);
    return grown;
  }

  /** Ends the streaming of all messages. */
  closeMessages(): void {
    for (const message of [...this.messages.values()]) {
      if (message.streaming) this.change(this.messages, message, { streaming: false });
    }
  }

  /** Stores an answered input; from here on it is weighed. */
  answer(answered: InputState): void {
    this.inputs.set(answered);
    this.plan.weight += partWeight(answered);
  }

  /** Adds a weighed part, or replaces it. */
  put<Part extends object>(parts: Parts<Part>, part: Part): void {
    const old = parts.get(parts.idOf(part));
    this.plan.weight += partWeight(part) - (old ? partWeight(old) : 0);
    parts.set(part);
  }

  /** Changes fields of a weighed part. */
  change<Part extends object>(parts: Parts<Part>, part: Part, changes: Partial<Part>): void {
    for (const name of Object.keys(changes) as (keyof Part)[]) {
      this.plan.weight += fieldWeight(changes[name]) - fieldWeight(part[name]);
    }
    parts.set({ ...part, ...changes });
  }

  countOmitted(kind: keyof Omitted): void {
    this.plan.omitted = { ...this.plan.omitted, [kind]: this.plan.omitted[kind] + 1 };
  }

  /**
   * Omits the oldest parts once the limit is exceeded. Called after each event, so the result does not depend on how a story
   * is divided into folds. It frees an eighth of the limit at once, since finding the oldest parts is expensive.
   */
  trim(): void {
    if (this.plan.weight <= this.#limit) return;
    const enough = this.#limit - Math.floor(this.#limit / 8);
    const candidates = this.#weighed().sort((a, b) => a.rank - b.rank || a.part.offset - b.part.offset);
    for (const one of candidates) {
      if (this.plan.weight <= enough) return;
      one.remove();
      this.plan.weight -= partWeight(one.part);
      this.countOmitted(one.kind);
    }
  }

  finish(): Snapshot {
    return {
      ...this.plan,
      steps: this.steps.finish(),
      messages: this.messages.finish(),
      tool_calls: this.toolCalls.finish(),
      inputs: this.inputs.finish(),
      artifacts: this.artifacts.finish(),
    };
  }

  #weighed(): Weighed[] {
    const all: Weighed[] = [];
    const weigh = <Part extends Weighed["part"]>(
      parts: Parts<Part>,
      kind: keyof Omitted,
      rankOf: (part: Part) => number | null,
    ) => {
      for (const part of parts.values()) {
        const rank = rankOf(part);
        if (rank !== null) all.push({ part, kind, rank, remove: () => parts.delete(part) });
      }
    };
    weigh(this.messages, "messages", messageRank);
    weigh(this.toolCalls, "tool_calls", (call) => (call.phase === "started" ? 2 : 0));
    weigh(this.artifacts, "artifacts", () => 1);
    weigh(this.inputs, "inputs", (request) => (request.answered_at == null ? null : 1));
    return all;
  }
}

function messageRank(message: MessageState): number {
  if (message.streaming) return 2;
  return message.message_type === "thinking" || message.message_type === "action" ? 0 : 1;
}
