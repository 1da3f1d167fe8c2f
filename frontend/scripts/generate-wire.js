/** `npm run generate`: regenerates src/wire/frames.ts. */
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { wireTypes } from "./wire-types.js";

const at = (path) => fileURLToPath(new URL(path, import.meta.url));

writeFileSync(at("../src/wire/frames.ts"), await wireTypes(at("../../docs/schemas/wire")));
