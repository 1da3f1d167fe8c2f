import { useMemo } from "react";
import { csvCell, csvRows } from "./csv.js";
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
