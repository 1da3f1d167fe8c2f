import { makeStyles, mergeClasses, tokens } from "@fluentui/react-components";
import { memo } from "react";
import { label } from "./fields.js";
import { columnText, type Table } from "./tabular.js";

const useStyles = makeStyles({
  around: {
    overflow: "auto",
    maxHeight: "380px",
    borderRadius: tokens.borderRadiusMedium,
    border: `1px solid ${tokens.colorNeutralStroke2}`,
  },
  table: { borderCollapse: "collapse", width: "100%", fontSize: tokens.fontSizeBase200 },
  cell: {
    padding: "5px 12px",
    textAlign: "left",
    borderTop: `1px solid ${tokens.colorNeutralStroke3}`,
    verticalAlign: "top",
  },
  head: {
    position: "sticky",
    top: 0,
    zIndex: 1,
    padding: "6px 12px",
    textAlign: "left",
    whiteSpace: "nowrap",
    fontWeight: tokens.fontWeightSemibold,
    color: tokens.colorNeutralForeground2,
    backgroundColor: tokens.colorNeutralBackground2,
  },
  number: { textAlign: "right", fontVariantNumeric: "tabular-nums", whiteSpace: "nowrap" },
  more: {
    margin: `${tokens.spacingVerticalXS} 0 0`,
    color: tokens.colorNeutralForeground3,
    fontSize: tokens.fontSizeBase200,
  },
});

export const TableView = memo(function TableView({
  table,
  title = "Rows",
}: {
  readonly table: Table;
  readonly title?: string;
}) {
  const styles = useStyles();
  const { columns, rows, numeric, total } = table;
  return (
    <div>
      <div className={styles.around} tabIndex={0} role="group" aria-label={title}>
        <table className={styles.table}>
          <thead>
            <tr>
              {columns.map((column, at) => (
                <th key={at} scope="col" className={mergeClasses(styles.head, numeric[at] && styles.number)}>
                  {label(column)}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {rows.map((row, number) => (
              <tr key={number}>
                {row.map((cell, at) => (
                  <td key={at} className={mergeClasses(styles.cell, numeric[at] && styles.number)}>
                    {columnText(columns[at] ?? "", cell)}
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {total !== undefined && <p className={styles.more}>{`The first ${rows.length} of ${total} rows.`}</p>}
    </div>
  );
});
