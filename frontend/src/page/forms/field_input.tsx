import { Field, Input, Select, Switch, Textarea } from "@fluentui/react-components";
import type { SchemaField } from "./schema_fields.js";

interface FieldInputProps {
  readonly field: SchemaField;
  readonly value: string;
  readonly problem?: string | undefined;
  readonly onValue: (value: string) => void;
}

/** One field of a form, with its label, hint and error. */
export function FieldInput({ field, value, problem, onValue }: FieldInputProps) {
  const { label, about, required, kind } = field;
  return (
    <Field
      label={kind === "switch" ? undefined : label}
      required={required}
      {...(about && { hint: about })}
      {...(problem && { validationState: "error" as const, validationMessage: problem })}
    >
      <Control field={field} value={value} onValue={onValue} />
    </Field>
  );
}

function Control({ field, value, onValue, ...given }: Omit<FieldInputProps, "problem">) {
  switch (field.kind) {
    case "switch":
      return (
        <Switch
          {...given}
          label={field.label}
          checked={value === "true"}
          onChange={(_, { checked }) => onValue(String(checked))}
        />
      );
    case "choice":
      return (
        <Select {...given} value={value} onChange={(_, data) => onValue(data.value)}>
          {!field.required && <option value="">–</option>}
          {field.options?.map((option) => (
            <option key={option}>{option}</option>
          ))}
        </Select>
      );
    case "paragraph":
    case "json":
      return (
        <Textarea
          {...given}
          resize="vertical"
          rows={field.kind === "json" ? 4 : 3}
          value={value}
          placeholder={field.kind === "json" ? "JSON" : undefined}
          onChange={(_, data) => onValue(data.value)}
        />
      );
    default:
      return (
        <Input
          {...given}
          inputMode={field.kind === "text" ? "text" : "decimal"}
          value={value}
          onChange={(_, data) => onValue(data.value)}
        />
      );
  }
}
