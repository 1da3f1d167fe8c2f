/**
 * A snapshot taken apart, to be changed many times and put together once; and what it leaves out to stay small.
 *
 * What is said and made (messages, tool calls, artifacts, answered inputs) has a weight, and together it stays within a
 * limit. Beyond it the oldest goes: first what agents thought and did, then the rest, and what is still under way only when
 * nothing else is left. Steps, pending inputs and what is said of the plan itself are neither weighed nor left out.
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

/** Has the plan itself ended, with this status? */
export function isPlanEnded(status: PlanStatus): boolean {
  return status === "completed" || status === "error" || status === "cancelled";
}

interface Weighed {
  readonly part: { readonly offset: number };
  readonly kind: keyof Omitted;
  /** What goes first when it is too much: 0, then 1, then 2. */
  readonly rank: number;
  leave(): void;
}

export class Draft {
  /** What is said of the plan itself; its parts are in the collections. */
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

  /** The id of a message that was given none. */
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

  /** Nothing more is expected of any message. */
  closeMessages(): void {
    for (const message of [...this.messages.values()]) {
      if (message.streaming) this.change(this.messages, message, { streaming: false });
    }
  }

  /** From here on it may be left out. */
  answer(answered: InputState): void {
    this.inputs.set(answered);
    this.plan.weight += partWeight(answered);
  }

  /** A weighed part as it begins, or begins anew. */
  put<Part extends object>(parts: Parts<Part>, part: Part): void {
    const old = parts.get(parts.idOf(part));
    this.plan.weight += partWeight(part) - (old ? partWeight(old) : 0);
    parts.set(part);
  }

  /** Changes a weighed part that is there. */
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
   * Called after each event, so that where a fold was cut makes no difference. Once it is too much, an eighth goes at once:
   * to look for the oldest each time would cost too much.
   */
  lighten(): void {
    if (this.plan.weight <= this.#limit) return;
    const enough = this.#limit - Math.floor(this.#limit / 8);
    const leaving = this.#weighed().sort((a, b) => a.rank - b.rank || a.part.offset - b.part.offset);
    for (const one of leaving) {
      if (this.plan.weight <= enough) return;
      one.leave();
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
        if (rank !== null) all.push({ part, kind, rank, leave: () => parts.delete(part) });
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
