/** Generates TypeScript from the JSON Schemas in docs/schemas/wire: a type per model and frame, and the unions of frames. */
import { readFileSync, readdirSync } from "node:fs";
import { basename, join } from "node:path";
import prettier from "prettier";

const HEAD = `// Generated from docs/schemas/wire by \`npm run generate\`. Do not edit: change the models, and regenerate.
`;

/** The text of src/wire/frames.ts, from the schemas in `folder`. */
export async function wireTypes(folder) {
  const types = new Map();
  const unions = { client: [], event: [], server: [] };
  for (const file of readdirSync(folder).sort()) {
    const [side] = file.split(".");
    if (!unions[side]) throw new Error(`${file}: the name must start with client., server. or event.`);
    const schema = JSON.parse(readFileSync(join(folder, file), "utf8"));
    for (const [name, definition] of Object.entries(schema.$defs ?? {})) declare(types, name, definition, file);
    const name = frameName(schema.title, file);
    declare(types, name, schema, file);
    unions[side].push(name);
  }
  const declared = [...types].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, text]) => text);
  const text = [HEAD, ...declared, ...Object.entries(unions).map(union)].join("\n");
  return prettier.format(text, { parser: "typescript", printWidth: 120 });
}

const UNIONS = {
  client: ["ClientFrame", "A frame that a client may send on the socket."],
  event: ["EventFrame", "An event of a plan, with its position in the plan's log."],
  server: ["ControlFrame", "A frame that a hub sends, other than an event."],
};

function union([side, names]) {
  const [name, about] = UNIONS[side];
  return `/** ${about} */\nexport type ${name} = ${names.join(" | ")};\n`;
}

function frameName(title, file) {
  if (!title) throw new Error(`${basename(file)}: the schema has no title`);
  return title.endsWith("Frame") ? title : `${title}Frame`;
}

function declare(types, name, schema, file) {
  const text = `${comment(schema.description)}export ${body(name, schema)}\n`;
  const known = types.get(name);
  // A constant with a default in one schema and without in another is the same type.
  if (known !== undefined && known !== text)
    throw new Error(`${file}: ${name} differs from its definition in an earlier file`);
  types.set(name, text);
}

function body(name, schema) {
  if (schema.type !== "object") return `type ${name} = ${typeOf(schema)};`;
  return `interface ${name} ${members(schema)}`;
}

function members(schema) {
  const required = new Set(schema.required);
  const lines = Object.entries(schema.properties).map(([name, property]) => {
    const optional = required.has(name) ? "" : "?";
    return `${comment(property.description)}readonly ${name}${optional}: ${typeOf(property)};`;
  });
  return `{\n${lines.join("\n")}\n}`;
}

const PRIMITIVES = { string: "string", integer: "number", number: "number", boolean: "boolean" };

function record(values) {
  return `Readonly<Record<string, ${typeof values === "object" ? typeOf(values) : "unknown"}>>`;
}

function typeOf(schema) {
  if (schema.$ref) return schema.$ref.split("/").at(-1);
  if ("const" in schema) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.map((one) => JSON.stringify(one)).join(" | ");
  // Null means that the field is omitted, and the client omits it.
  if (schema.anyOf)
    return schema.anyOf
      .filter((one) => one.type !== "null")
      .map(typeOf)
      .join(" | ");
  if (schema.type === "array") return `readonly (${typeOf(schema.items ?? {})})[]`;
  if (schema.type === "object") return schema.properties ? members(schema) : record(schema.additionalProperties);
  if (schema.type === undefined) return "unknown";
  const primitive = PRIMITIVES[schema.type];
  if (!primitive) throw new Error(`cannot convert to TypeScript: ${JSON.stringify(schema)}`);
  return primitive;
}

function comment(text) {
  return text ? `/** ${text.replaceAll("\n", " ")} */\n` : "";
}
