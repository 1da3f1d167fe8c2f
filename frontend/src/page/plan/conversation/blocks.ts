/** Text as it is written: what is finished of it needn't be looked at again with each word that comes. */

/**
 * Cuts markdown where one block ends and another begins: at blank lines outside of code, before a line that isn't indented.
 * The last block may still grow; all before it stay as they are, whatever comes.
 */
export function blocks(text: string): readonly string[] {
  const found: string[] = [];
  let current: string[] = [];
  let fence: string | null = null;
  let blank = false;
  for (const line of text.split("\n")) {
    const startsAnew = blank && fence === null && /^[^\s\-*+\d>|]/.test(line);
    if (startsAnew && current.length > 0) {
      found.push(current.join("\n"));
      current = [];
    }
    const mark = /^\s{0,3}(```|~~~)/.exec(line)?.[1];
    if (mark && (fence === null || fence === mark)) fence = fence === null ? mark : null;
    blank = line.trim() === "";
    current.push(line);
  }
  found.push(current.join("\n"));
  return found;
}

/** Text in which markdown finds nothing: most of what is said. */
export function isPlain(text: string): boolean {
  return !/[*_`#[\]|<>~\\&]|https?:|www\.|^\s*([-+]|\d+[.)])\s|\n\s*([-+=]|\d+[.)])|@\w+\.|^ {4}|\n {4}/.test(text);
}
