/** The generated types match the schemas in docs. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { wireTypes } from "../../scripts/wire-types.js";

const at = (path: string) => fileURLToPath(new URL(path, import.meta.url));

test("src/wire/frames.ts is the output of `npm run generate`", async () => {
  const generated = await wireTypes(at("../../../docs/schemas/wire"));
  expect(readFileSync(at("../../src/wire/frames.ts"), "utf8")).toBe(generated);
});

test("a schema that cannot be converted is an error", async () => {
  const folder = mkdtempSync(join(tmpdir(), "plancast-wire-"));
  const write = (schema: object) =>
    writeFileSync(join(folder, "server.odd.json"), JSON.stringify({ title: "Odd", ...schema }));
  try {
    write({ type: "object", properties: { when: { type: "tuple" } } });
    await expect(wireTypes(folder)).rejects.toThrow("cannot convert to TypeScript");
    write({ type: "object", properties: {}, title: "" });
    await expect(wireTypes(folder)).rejects.toThrow("has no title");
  } finally {
    rmSync(folder, { recursive: true });
  }
});
