/** Tables in result data. */
import { isFields, textOf } from "./fields.js";

export type Cell = string | number | boolean | null;

export interface Table {
  readonly columns: readonly string[];
  readonly rows: readonly (readonly Cell[])[];
  /** For each column, whether it contains only numbers. */
  readonly numeric: readonly boolean[];
  /** The total number of rows, if not all are included. */
  readonly total?: number | undefined;
}

/** The most rows that are rendered. */
export const MAX_ROWS = 200;

/** The table in a value, whose rows are lists or objects; null if it is none. */
export function tableOf(rows: unknown, columns?: unknown, total?: number): Table | null {
  if (!Array.isArray(rows)) return null;
  const listed = Array.isArray(columns) ? columns.map(columnName) : [];
  const names = listed.length > 0 ? listed : namesIn(rows);
  if (names.length === 0) return null;
  const cells = rows.slice(0, MAX_ROWS).map((row) => names.map((name, at) => cellOf(valueIn(row, name, at))));
  if (cells.length > 0 && cells.every((row) => row.every((cell) => cell === null))) return null;
  const numeric = names.map((_, at) => isNumeric(cells.map((row) => row[at] ?? null)));
  const all = total ?? rows.length;
  return { columns: names, rows: cells, numeric, ...(all > cells.length ? { total: all } : {}) };
}

function columnName(column: unknown): string {
  return isFields(column) ? (textOf(column, "name", "key", "label") ?? "") : String(column);
}

function namesIn(rows: readonly unknown[]): readonly string[] {
  const names = new Set<string>();
  for (const row of rows.slice(0, 50)) {
    if (!isFields(row)) return [];
    for (const name of Object.keys(row)) names.add(name);
  }
  return [...names];
}

function valueIn(row: unknown, name: string, at: number): unknown {
  if (Array.isArray(row)) return (row as readonly unknown[])[at];
  return isFields(row) ? row[name] : undefined;
}

function cellOf(value: unknown): Cell {
  if (value === undefined || value === null) return null;
  if (typeof value === "string" || typeof value === "number" || typeof value === "boolean") return value;
  return JSON.stringify(value);
}

function isNumeric(cells: readonly Cell[]): boolean {
  const there = cells.filter((cell) => cell !== null);
  return there.length > 0 && there.every((cell) => typeof cell === "number");
}

const NUMBER = new Intl.NumberFormat("en-GB", { maximumFractionDigits: 2 });

export function cellText(cell: Cell): string {
  if (cell === null) return "–";
  if (typeof cell === "number") return NUMBER.format(cell);
  if (typeof cell === "boolean") return cell ? "yes" : "no";
  return cell;
}

/** The text of a cell; numbers in columns of years, ids and the like get no thousands separators. */
export function columnText(column: string, cell: Cell): string {
  return typeof cell === "number" && isName(column) ? String(cell) : cellText(cell);
}

export function isName(column: string): boolean {
  return /(^|[_\s])(id|year|month|day|zip|code|number)$/i.test(column);
}
