/** Prints the sizes of the built page's files. Fails if those of the initial load exceed the limit. */
import { readdirSync, readFileSync, statSync } from "node:fs";
import { fileURLToPath } from "node:url";

const LIMIT = 300 * 1024;
const folder = new URL("../../hub/page/built/", import.meta.url);

const html = readFileSync(new URL("index.html", folder), "utf8");
const initial = new Set([...html.matchAll(/(?:src|href)="\/(assets\/[^"]+)"/g)].map(([, name]) => name));
const sizeOf = (name) => statSync(new URL(`${name}.gz`, folder)).size;
const rows = readdirSync(new URL("assets/", folder))
  .filter((name) => name.endsWith(".gz"))
  .map((name) => `assets/${name.slice(0, -3)}`)
  .map((name) => [name, sizeOf(name), initial.has(name) ? "initial" : "on demand"]);

for (const [name, size, when] of rows.sort((one, other) => other[1] - one[1])) {
  console.log(`${name.padEnd(40)} ${size.toLocaleString("en").padStart(8)}  ${when}`);
}
const total = [...initial].reduce((sum, name) => sum + sizeOf(name), 0);
console.log(
  `page     ${total.toLocaleString("en").padStart(7)} of ${LIMIT.toLocaleString("en")} bytes, gzipped, initial load`,
);
if (initial.size === 0 || total > LIMIT) {
  console.error(`the page is too large or was not built: ${fileURLToPath(folder)}`);
  process.exitCode = 1;
}
