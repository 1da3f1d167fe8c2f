import { Button, makeStyles, tokens } from "@fluentui/react-components";
import { type SubmitEvent, useMemo, useState } from "react";
import type { InputState } from "../../../client/index.js";
import { FieldInput } from "../../forms/field_input.js";
import {
  fieldsOf,
  type Filled,
  initialOf,
  inputOf,
  type Outcome,
  type SchemaField,
} from "../../forms/schema_fields.js";
import type { Fields } from "../results/fields.js";
import { optionsOf } from "./options.js";

const useStyles = makeStyles({
  form: { display: "flex", flexDirection: "column", gap: tokens.spacingVerticalM, maxWidth: "560px" },
  options: { display: "flex", flexWrap: "wrap", gap: tokens.spacingHorizontalS },
  about: { display: "block", fontSize: tokens.fontSizeBase200, fontWeight: tokens.fontWeightRegular },
});

interface Props {
  readonly request: InputState;
  readonly sending: boolean;
  readonly onAnswer: (answer: unknown) => void;
}

/** The answer's controls: buttons for options, or a form for a schema. */
export function InputForm({ request, sending, onAnswer }: Props) {
  const options = optionsOf(request);
  return options.length > 0 && request.schema === undefined ? (
    <Choices request={request} sending={sending} onAnswer={onAnswer} />
  ) : (
    <Answering request={request} sending={sending} onAnswer={onAnswer} />
  );
}

function Choices({ request, sending, onAnswer }: Props) {
  const styles = useStyles();
  return (
    <div className={styles.options} role="group" aria-label={request.prompt}>
      {optionsOf(request).map(({ label, about, answer, primary }, at) => (
        <Button
          key={at}
          appearance={primary ? "primary" : "secondary"}
          disabledFocusable={sending}
          onClick={() => onAnswer(answer)}
        >
          <span>
            {label}
            {about && <span className={styles.about}>{about}</span>}
          </span>
        </Button>
      ))}
    </div>
  );
}

function Answering({ request, sending, onAnswer }: Props) {
  const styles = useStyles();
  const form = useMemo(() => answerForm(request.schema), [request.schema]);
  const [filled, setFilled] = useState(() => initialOf(form.fields));
  const [problems, setProblems] = useState<Readonly<Record<string, string>>>({});
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    const outcome = form.read(filled);
    setProblems("problems" in outcome ? outcome.problems : {});
    if ("answer" in outcome) onAnswer(outcome.answer);
  };
  return (
    <form className={styles.form} onSubmit={submit} aria-label={request.prompt} noValidate>
      {form.fields.map((field) => (
        <FieldInput
          key={field.name}
          field={field}
          value={filled[field.name] ?? ""}
          problem={problems[field.name]}
          onValue={(value) => setFilled((before) => ({ ...before, [field.name]: value }))}
        />
      ))}
      <div>
        <Button type="submit" appearance="primary" disabledFocusable={sending}>
          {sending ? "Sending…" : "Send answer"}
        </Button>
      </div>
    </form>
  );
}

const WHOLE = "answer";

export interface AnswerForm {
  readonly fields: readonly SchemaField[];
  readonly read: (
    filled: Filled,
  ) => { readonly answer: unknown } | { readonly problems: Readonly<Record<string, string>> };
}

/** The form for an answer schema: a text without a schema; a single field for a schema that is not of an object. */
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
