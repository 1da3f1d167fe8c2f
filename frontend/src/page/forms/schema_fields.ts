/** Converts a JSON Schema to form fields, and the form's texts to a value of that schema. Pure. */

export type FieldKind = "text" | "paragraph" | "number" | "integer" | "switch" | "choice" | "json";

export interface SchemaField {
  readonly name: string;
  readonly label: string;
  readonly about?: string;
  readonly kind: FieldKind;
  readonly required: boolean;
  /** The initial text. */
  readonly initial: string;
  readonly options?: readonly string[];
  readonly least?: number;
  readonly most?: number;
  readonly longest?: number;
}

type Schema = Readonly<Record<string, unknown>>;

/** The text of each field, by name. A switch is "true" or "false". */
export type Filled = Readonly<Record<string, string>>;

export type Outcome =
  | { readonly input: Readonly<Record<string, unknown>>; readonly problems?: undefined }
  /** The errors, by the field's name. */
  | { readonly problems: Readonly<Record<string, string>> };

/** Texts that may be longer than this get a multi-line input. */
const PARAGRAPH = 200;

export function fieldsOf(schema: Schema): readonly SchemaField[] {
  const required = new Set(Array.isArray(schema["required"]) ? schema["required"] : []);
  return Object.entries(objectOf(schema["properties"])).map(([name, property]) =>
    fieldOf(name, resolved(objectOf(property), schema), required.has(name)),
  );
}

export function initialOf(fields: readonly SchemaField[]): Filled {
  return Object.fromEntries(fields.map(({ name, initial }) => [name, initial]));
}

/** The form's value, or its errors. Empty optional fields are omitted, so the template's defaults apply. */
export function inputOf(fields: readonly SchemaField[], filled: Filled): Outcome {
  const problems: Record<string, string> = {};
  const input: Record<string, unknown> = {};
  for (const field of fields) {
    const text = filled[field.name] ?? "";
    const { value, problem } = text.trim() === "" ? emptyOf(field) : read(field, text);
    if (problem !== undefined) problems[field.name] = problem;
    else if (value !== undefined) input[field.name] = value;
  }
  return Object.keys(problems).length > 0 ? { problems } : { input };
}

interface Read {
  readonly value?: unknown;
  readonly problem?: string;
}

function emptyOf({ required, label }: SchemaField): Read {
  return required ? { problem: `${label} is required.` } : {};
}

function read(field: SchemaField, text: string): Read {
  switch (field.kind) {
    case "number":
    case "integer":
      return readNumber(field, text);
    case "switch":
      return { value: text === "true" };
    case "json":
      return readJson(text);
    default:
      return field.longest !== undefined && text.length > field.longest
        ? { problem: `At most ${field.longest} characters; this has ${text.length}.` }
        : { value: text };
  }
}

function readNumber({ kind, least = -Infinity, most = Infinity }: SchemaField, text: string): Read {
  const value = Number(text);
  if (Number.isNaN(value)) return { problem: "Enter a number." };
  if (kind === "integer" && !Number.isInteger(value)) return { problem: "Enter a whole number." };
  if (value < least) return { problem: `Must be ${least} or more.` };
  return value > most ? { problem: `Must be ${most} or less.` } : { value };
}

function readJson(text: string): Read {
  try {
    return { value: JSON.parse(text) as unknown };
  } catch {
    return { problem: "Enter valid JSON." };
  }
}

function fieldOf(name: string, schema: Schema, required: boolean): SchemaField {
  const kind = kindOf(schema);
  const { title, description, minimum, maximum, maxLength } = schema;
  return {
    name,
    label: labelOf(name, title),
    kind,
    required,
    initial: initialText(kind, schema["default"]),
    ...(typeof description === "string" && { about: description }),
    ...(kind === "choice" && { options: (schema["enum"] as readonly unknown[]).map(String) }),
    ...(typeof minimum === "number" && { least: minimum }),
    ...(typeof maximum === "number" && { most: maximum }),
    ...(typeof maxLength === "number" && { longest: maxLength }),
  };
}

function kindOf(schema: Schema): FieldKind {
  const choices = schema["enum"];
  if (Array.isArray(choices) && choices.every((choice) => typeof choice === "string")) return "choice";
  switch (schema["type"]) {
    case "string":
      return typeof schema["maxLength"] === "number" && schema["maxLength"] <= PARAGRAPH ? "text" : "paragraph";
    case "integer":
      return "integer";
    case "number":
      return "number";
    case "boolean":
      return "switch";
    default:
      return "json";
  }
}

function initialText(kind: FieldKind, value: unknown): string {
  if (value === undefined || value === null) return kind === "switch" ? "false" : "";
  if (kind === "json") return isEmpty(value) ? "" : JSON.stringify(value, null, 2);
  return typeof value === "string" ? value : JSON.stringify(value);
}

function isEmpty(value: unknown): boolean {
  return typeof value === "object" && value !== null && Object.keys(value).length === 0;
}

/** Converts "user_id" and pydantic's "User Id" to "User id". */
function labelOf(name: string, title: unknown): string {
  const text = typeof title === "string" ? title : name.replaceAll("_", " ");
  return text.charAt(0).toUpperCase() + text.slice(1).replace(/ [A-Z](?=[a-z]| |$)/g, (start) => start.toLowerCase());
}

/** Resolves references, and removes the null of optional fields. */
function resolved(schema: Schema, root: Schema, depth = 0): Schema {
  if (depth > 8) return {};
  const { $ref: reference, anyOf } = schema;
  if (typeof reference === "string") {
    const target = objectOf(objectOf(root["$defs"])[reference.replace("#/$defs/", "")]);
    return { ...resolved(target, root, depth + 1), ...without(schema, "$ref") };
  }
  const choices = Array.isArray(anyOf) ? anyOf.map(objectOf).filter(({ type }) => type !== "null") : [];
  const [only] = choices;
  if (choices.length === 1 && only) return { ...resolved(only, root, depth + 1), ...without(schema, "anyOf") };
  return schema;
}

function without(schema: Schema, name: string): Schema {
  return Object.fromEntries(Object.entries(schema).filter(([key]) => key !== name));
}

function objectOf(value: unknown): Schema {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Schema) : {};
}
