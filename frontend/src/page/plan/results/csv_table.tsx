import { useMemo } from "react";
import { TableView } from "./table_view.js";
import { tableOf } from "./tabular.js";

export function CsvTable({ text }: { readonly text: string }) {
  const table = useMemo(() => {
    const [head, ...rows] = csvRows(text);
    return head
      ? tableOf(
          rows.map((row) => row.map(csvCell)),
          head,
        )
      : null;
  }, [text]);
  return table ? <TableView table={table} /> : <pre style={{ margin: 0 }}>{text}</pre>;
}

/** Parses comma-separated values into rows of cells. */
export function csvRows(text: string, atMost = 201): readonly (readonly string[])[] {
  const rows: string[][] = [];
  let row: string[] = [];
  let cell = "";
  let quoted = false;
  const endRow = () => {
    row.push(cell);
    if (row.length > 1 || cell !== "") rows.push(row);
    row = [];
    cell = "";
  };
  for (let at = 0; at < text.length && rows.length < atMost; at++) {
    const one = text.charAt(at);
    if (quoted) {
      if (one !== '"') cell += one;
      else if (text.charAt(at + 1) === '"') cell += text.charAt(++at);
      else quoted = false;
    } else if (one === '"' && cell === "") quoted = true;
    else if (one === ",") {
      row.push(cell);
      cell = "";
    } else if (one === "\n") endRow();
    else if (one !== "\r") cell += one;
  }
  if (cell !== "" || row.length > 0) endRow();
  return rows;
}

/** Converts numeric cells to numbers, for right alignment. */
export function csvCell(text: string): string | number {
  return /^-?\d+(\.\d+)?$/.test(text) && text.length < 16 ? Number(text) : text;
}
