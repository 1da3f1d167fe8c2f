/** TypeScript from the JSON Schemas of docs/schemas/wire: one type a model, one a frame, and the unions of frames. */
import { readFileSync, readdirSync } from "node:fs";
import { basename, join } from "node:path";
import prettier from "prettier";

const HEAD = `// Generated from docs/schemas/wire by \`npm run generate\`. Don't edit: change the models, then generate anew.
`;

/** The text of src/wire/frames.ts. `folder` holds the schemas. */
export async function wireTypes(folder) {
  const types = new Map();
  const unions = { client: [], event: [], server: [] };
  for (const file of readdirSync(folder).sort()) {
    const [side] = file.split(".");
    if (!unions[side]) throw new Error(`${file}: a frame of neither client nor server, and no event`);
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
  client: ["ClientFrame", "What a client may say on the socket."],
  event: ["EventFrame", "One thing said about a plan, at its place in the plan's log."],
  server: ["ControlFrame", "What a hub says besides events."],
};

function union([side, names]) {
  const [name, about] = UNIONS[side];
  return `/** ${about} */\nexport type ${name} = ${names.join(" | ")};\n`;
}

function frameName(title, file) {
  if (!title) throw new Error(`${basename(file)}: a schema without a title`);
  return title.endsWith("Frame") ? title : `${title}Frame`;
}

function declare(types, name, schema, file) {
  const text = `${comment(schema.description)}export ${body(name, schema)}\n`;
  const known = types.get(name);
  // A constant that has a default in one schema and none in another is the same type.
  if (known !== undefined && known !== text)
    throw new Error(`${file}: ${name} is another type than in the files before`);
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

function typeOf(schema) {
  if (schema.$ref) return schema.$ref.split("/").at(-1);
  if ("const" in schema) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.map((one) => JSON.stringify(one)).join(" | ");
  // A null stands for a field left out, and the client leaves it out.
  if (schema.anyOf)
    return schema.anyOf
      .filter((one) => one.type !== "null")
      .map(typeOf)
      .join(" | ");
  if (schema.type === "array") return `readonly (${typeOf(schema.items ?? {})})[]`;
  if (schema.type === "object") return schema.properties ? members(schema) : "Readonly<Record<string, unknown>>";
  if (schema.type === undefined) return "unknown";
  const primitive = PRIMITIVES[schema.type];
  if (!primitive) throw new Error(`no TypeScript is known for ${JSON.stringify(schema)}`);
  return primitive;
}

function comment(text) {
  return text ? `/** ${text.replaceAll("\n", " ")} */\n` : "";
}
