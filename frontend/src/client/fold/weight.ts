/**
 * The weight of parts of a snapshot, defined so that every language computes the same: a string weighs the UTF-8 length of its
 * JSON text; a number 24; true, false and null 5; an array or object 2, plus 1 for each element, and in an object each key as
 * a string, plus 1. Each field of a part that is not null weighs 20 besides its value.
 */

const PLAIN = /^[ !#-[\]-\x7f]*$/;

/** The weight of text inside a string: the pieces of a message weigh as much as the whole. */
export function textWeight(text: string): number {
  if (PLAIN.test(text)) return text.length;
  let weight = 0;
  for (let at = 0; at < text.length; at++) weight += codeWeight(text.charCodeAt(at));
  return weight;
}

function codeWeight(code: number): number {
  if (code < 0x20) return (code >= 8 && code <= 10) || code === 12 || code === 13 ? 2 : 6;
  if (code === 34 || code === 92) return 2;
  if (code < 0x80) return 1;
  // A surrogate pair is four bytes, so half of it is two.
  return code < 0x800 || (code >= 0xd800 && code <= 0xdfff) ? 2 : 3;
}

export function weightOf(value: unknown): number {
  if (typeof value === "string") return 2 + textWeight(value);
  if (typeof value === "number") return 24;
  if (typeof value !== "object" || value === null) return 5;
  let weight = 2;
  if (Array.isArray(value)) for (const item of value) weight += weightOf(item) + 1;
  else for (const [key, item] of Object.entries(value)) weight += weightOf(key) + weightOf(item) + 2;
  return weight;
}

export function fieldWeight(value: unknown): number {
  return value == null ? 0 : 20 + weightOf(value);
}

/** The weight of a message, tool call, input or artifact. */
export function partWeight(part: object): number {
  let weight = 2;
  for (const value of Object.values(part)) weight += fieldWeight(value);
  return weight;
}
