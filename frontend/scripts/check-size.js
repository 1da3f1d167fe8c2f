/** Prints the sizes of the npm package's modules. Fails if one exceeds its limit. */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

const KIB = 1024;
/** Every page loads `client`; `fallback` only those without a working WebSocket. */
const LIMITS = { client: 13 * KIB, fallback: 4 * KIB, react: 3 * KIB };

/** The text of a module and of its static imports. */
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
    `${name.padEnd(8)} ${size.toLocaleString("en").padStart(7)} of ${LIMITS[name].toLocaleString("en")} bytes, gzipped`,
  );
  tooLarge ||= size > LIMITS[name];
}
if (tooLarge) {
  console.error(`the package is too large: ${fileURLToPath(new URL("../dist", import.meta.url))}`);
  process.exitCode = 1;
}
