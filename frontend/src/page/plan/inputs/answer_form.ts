/** A form for an answer, from the schema that it has to fit. */
import { type Filled, fieldsOf, inputOf, type Outcome, type SchemaField } from "../../forms/schema_fields.js";
import type { Fields } from "../results/read.js";

const WHOLE = "answer";

export interface AnswerForm {
  readonly fields: readonly SchemaField[];
  readonly read: (
    filled: Filled,
  ) => { readonly answer: unknown } | { readonly problems: Readonly<Record<string, string>> };
}

/** Without a schema: a text. A schema that is no object's is one field, and its value the answer. */
export function answerForm(schema: Fields | undefined): AnswerForm {
  const isObject = schema !== undefined && (schema["type"] === "object" || "properties" in schema);
  if (isObject) {
    const fields = fieldsOf(schema);
    return { fields, read: (filled) => answered(inputOf(fields, filled), (input) => input) };
  }
  const whole = schema && Object.keys(schema).length > 0 ? schema : { type: "string", maxLength: 20_000 };
  const fields = fieldsOf({ properties: { [WHOLE]: whole }, required: [WHOLE], $defs: schema?.["$defs"] });
  return { fields, read: (filled) => answered(inputOf(fields, filled), (input) => input[WHOLE]) };
}

function answered(outcome: Outcome, pick: (input: Fields) => unknown): ReturnType<AnswerForm["read"]> {
  return outcome.problems ? { problems: outcome.problems } : { answer: pick(outcome.input) };
}
