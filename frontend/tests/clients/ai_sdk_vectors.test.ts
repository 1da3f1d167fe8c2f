/** The vectors of the AI SDK in the real clients: no chunk is refused, and the message is the one that the hub expects. P-AIS-3, P-AIS-5. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { type Chunk, type Part, VERSIONS } from "./ai_sdk_versions.js";

const FOLDER = fileURLToPath(new URL("../../../tests/vectors/protocols/ai_sdk", import.meta.url));

interface Case {
  readonly name: string;
  readonly responses: readonly (readonly Chunk[])[];
  readonly parts: readonly Part[];
  readonly error: string | null;
}

const cases = readdirSync(FOLDER).flatMap(
  (file) => (JSON.parse(readFileSync(join(FOLDER, file), "utf8")) as { cases: Case[] }).cases,
);

describe.each(VERSIONS)("$name", ({ replay }) => {
  test.each(cases)("$name", async ({ responses, parts, error }) => {
    const replayed = await replay(responses);
    expect(replayed.error).toBe(error);
    expect(replayed.message?.id).toBe("plan-1-answer");
    expect(replayed.message?.parts).toMatchObject(parts);
    expect(replayed.message?.parts).toHaveLength(parts.length);
  });
});
