/** What a form asks for, from a JSON Schema of an object, and what was filled in as a value of it. Pure. */

export type FieldKind = "text" | "paragraph" | "number" | "integer" | "switch" | "choice" | "json";

export interface SchemaField {
  readonly name: string;
  readonly label: string;
  readonly about?: string;
  readonly kind: FieldKind;
  readonly required: boolean;
  /** What is in it at first. */
  readonly initial: string;
  readonly options?: readonly string[];
  readonly least?: number;
  readonly most?: number;
  readonly longest?: number;
}

type Schema = Readonly<Record<string, unknown>>;

/** Of what a person fills in: the text of each field, by name. A switch is "true" or "false". */
export type Filled = Readonly<Record<string, string>>;

export type Outcome =
  | { readonly input: Readonly<Record<string, unknown>>; readonly problems?: undefined }
  /** What is wrong, by the field's name. */
  | { readonly problems: Readonly<Record<string, string>> };

/** Text that may be longer than this gets room for it. */
const PARAGRAPH = 200;

export function fieldsOf(schema: Schema): readonly SchemaField[] {
  const required = new Set(Array.isArray(schema["required"]) ? schema["required"] : []);
  return Object.entries(objectOf(schema["properties"])).map(([name, said]) =>
    fieldOf(name, resolved(objectOf(said), schema), required.has(name)),
  );
}

export function initialOf(fields: readonly SchemaField[]): Filled {
  return Object.fromEntries(fields.map(({ name, initial }) => [name, initial]));
}

/** What was left empty and isn't required is left out: the template knows its defaults. */
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
  return required ? { problem: `${label} is needed.` } : {};
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
        ? { problem: `At most ${field.longest} characters; these are ${text.length}.` }
        : { value: text };
  }
}

function readNumber({ kind, least = -Infinity, most = Infinity }: SchemaField, text: string): Read {
  const value = Number(text);
  if (Number.isNaN(value)) return { problem: "That is not a number." };
  if (kind === "integer" && !Number.isInteger(value)) return { problem: "A whole number is needed." };
  if (value < least) return { problem: `${least} or more.` };
  return value > most ? { problem: `${most} or less.` } : { value };
}

function readJson(text: string): Read {
  try {
    return { value: JSON.parse(text) as unknown };
  } catch {
    return { problem: "That is not JSON." };
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

/** "user_id" and pydantic's "User Id" as people write: "User id". */
function labelOf(name: string, title: unknown): string {
  const words = typeof title === "string" ? title : name.replaceAll("_", " ");
  return words.charAt(0).toUpperCase() + words.slice(1).replace(/ [A-Z](?=[a-z]| |$)/g, (start) => start.toLowerCase());
}

/** Behind references, and without the null of what is optional. */
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
