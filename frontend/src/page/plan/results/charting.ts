/** Chooses a chart for a table, and computes its scale. Pure; chart_view.tsx renders it. */
import { isName, type Table } from "./tabular.js";

export interface Series {
  readonly name: string;
  readonly values: readonly (number | null)[];
}

export interface Chart {
  readonly kind: "bars" | "line";
  readonly labels: readonly string[];
  readonly series: readonly Series[];
}

const MAX_POINTS = 120;
const MAX_BARS = 24;
const MAX_SERIES = 3;

/** A chart of the table, if it has a name column and numeric columns of similar size. */
export function chartOf(table: Table): Chart | null {
  const { columns, rows, numeric } = table;
  if (rows.length < 2 || rows.length > MAX_POINTS) return null;
  const named = columns.findIndex((column, at) => !numeric[at] || isName(column));
  if (named === -1) return null;
  const labels = rows.map((row) => String(row[named] ?? ""));
  if (new Set(labels).size < labels.length) return null;
  const series = columns
    .map((name, at) => ({ name, values: rows.map((row) => numberIn(row[at])), at }))
    .filter(({ name, at }) => at !== named && numeric[at] === true && !isName(name));
  const kind = isTime(labels) && rows.length > 2 ? "line" : "bars";
  if (series.length === 0 || (kind === "bars" && rows.length > MAX_BARS)) return null;
  return {
    kind,
    labels,
    series: alike(series)
      .slice(0, MAX_SERIES)
      .map(({ name, values }) => ({ name, values })),
  };
}

function numberIn(cell: unknown): number | null {
  return typeof cell === "number" ? cell : null;
}

/** "2025-01", "2025-01-31", "2025", "2025-Q1". */
function isTime(labels: readonly string[]): boolean {
  return labels.every((one) => /^\d{4}([-/](\d{1,2}|Q[1-4]|W\d{1,2})([-/]\d{1,2})?)?/.test(one));
}

/** The series that fit on one scale: within a factor of 20 of the first. */
function alike<Some extends Series>(series: readonly Some[]): readonly Some[] {
  const first = series[0] ? largest(series[0]) : 0;
  return series.filter((one) => {
    const size = largest(one);
    return size <= first * 20 && size * 20 >= first;
  });
}

function largest({ values }: Series): number {
  return Math.max(0, ...values.map((value) => Math.abs(value ?? 0)));
}

/** A range smaller than this has no usable scale. */
const LEAST = 1e-300;

/** Round numbers from below the smallest (0, unless it is negative) to above the largest, about `count` of them. */
export function ticks(series: readonly Series[], count = 4): readonly number[] {
  const values = series.flatMap((one) => one.values.filter((value) => value !== null));
  const low = Math.min(0, ...values);
  const high = Math.max(0, ...values);
  if (high - low < LEAST) return [Math.floor(low), Math.max(1, Math.ceil(high))];
  const step = niceStep((high - low) / count);
  const first = Math.floor(low / step);
  const last = Math.ceil(high / step);
  return Array.from({ length: last - first + 1 }, (_, at) => tidy((first + at) * step));
}

function niceStep(rough: number): number {
  const power = 10 ** Math.floor(Math.log10(rough));
  const lead = rough / power;
  return (lead <= 1 ? 1 : lead <= 2 ? 2 : lead <= 5 ? 5 : 10) * power;
}

function tidy(value: number): number {
  return Number(value.toPrecision(12));
}

/** Maps values to coordinates: the ends of `marks` to `from` and `to`. */
export function scale(marks: readonly number[], from: number, to: number): (value: number) => number {
  const low = marks[0] ?? 0;
  const high = marks.at(-1) ?? 1;
  return (value) => from + ((value - low) / (high - low || 1)) * (to - from);
}

/** The SVG path of a line, with gaps for missing values. */
export function linePath(
  values: readonly (number | null)[],
  x: (at: number) => number,
  y: (value: number) => number,
): string {
  let path = "";
  let drawing = false;
  values.forEach((value, at) => {
    if (value !== null) path += `${drawing ? "L" : "M"}${x(at).toFixed(1)} ${y(value).toFixed(1)}`;
    drawing = value !== null;
  });
  return path;
}

/** 1,250,000 → "1.3M". */
export function shortNumber(value: number): string {
  return new Intl.NumberFormat("en-GB", { notation: "compact", maximumFractionDigits: 1 }).format(value);
}

/** The interval at which labels are drawn without overlapping. */
export function labelEvery(count: number, width: number, longest: number): number {
  const needed = Math.min(90, 12 + longest * 6);
  return Math.max(1, Math.ceil((count * needed) / Math.max(1, width)));
}
