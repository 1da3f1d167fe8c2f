/** Fails when the packed client is larger than it may be. Prints what there is. */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

const KIB = 1024;
/** `client` is what every page loads; `fallback` only those where no WebSocket gets through. */
const MOST = { client: 12 * KIB, fallback: 4 * KIB, react: 3 * KIB };

/** A module with all that it imports at once from beside it. */
function textOf(file, seen) {
  if (seen.has(file)) return "";
  seen.add(file);
  const text = readFileSync(new URL(`../dist/${file}`, import.meta.url), "utf8");
  const imports = [...text.matchAll(/(?:from|import)\s*"\.\/([^"]+)"/g)].map(([, name]) => name);
  return text + imports.map((name) => textOf(name, seen)).join("");
}

const seen = new Set();
const sizes = {};
for (const [name, file] of Object.entries({ client: "index.js", fallback: "fallback.js", react: "react.js" })) {
  sizes[name] = gzipSync(textOf(file, seen), { level: 9 }).length;
}
let tooLarge = false;
for (const [name, size] of Object.entries(sizes)) {
  console.log(
    `${name.padEnd(8)} ${size.toLocaleString("en").padStart(7)} of ${MOST[name].toLocaleString("en")} bytes, gzipped`,
  );
  tooLarge ||= size > MOST[name];
}
if (tooLarge) {
  console.error(`too large: ${fileURLToPath(new URL("../dist", import.meta.url))}`);
  process.exitCode = 1;
}
