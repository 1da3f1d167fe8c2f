/** The options of an input request: their labels and answers. */
import type { InputState } from "../../../client/index.js";
import { isFields, textOf } from "../results/fields.js";

export interface AnswerOption {
  readonly label: string;
  readonly about?: string;
  readonly answer: unknown;
  /** The option that approves. */
  readonly primary: boolean;
}

const APPROVAL: readonly AnswerOption[] = [
  { label: "Approve", answer: true, primary: true },
  { label: "Decline", answer: false, primary: false },
];

export function optionsOf({ kind, options }: Pick<InputState, "kind" | "options">): readonly AnswerOption[] {
  if (!options?.length) return kind === "approval" ? APPROVAL : [];
  return options.map((option, at) => answerOption(option, kind === "approval" && at === 0));
}

function answerOption(option: unknown, primary: boolean): AnswerOption {
  if (!isFields(option)) return { label: optionLabel(option), answer: option, primary };
  const answer = "value" in option ? option["value"] : option;
  const about = textOf(option, "description", "about");
  return {
    label: textOf(option, "label", "title", "name") ?? optionLabel(answer),
    answer,
    primary,
    ...(about && { about }),
  };
}

/** "yes" → "Yes". */
function optionLabel(option: unknown): string {
  if (option === true) return "Yes";
  if (option === false) return "No";
  const text = typeof option === "string" ? option : JSON.stringify(option);
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** The label of a given answer. */
export function answerLabel(request: Pick<InputState, "kind" | "options" | "answer">): string {
  const { answer } = request;
  const chosen = optionsOf(request).find((option) => JSON.stringify(option.answer) === JSON.stringify(answer));
  if (chosen) return chosen.label;
  if (answer === undefined || answer === null) return "No answer";
  return typeof answer === "string" ? answer : JSON.stringify(answer);
}
