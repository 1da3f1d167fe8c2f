import { makeStyles, tokens } from "@fluentui/react-components";
import { memo, type ReactNode } from "react";
import { isFields } from "./fields.js";
import { label as fieldLabel } from "./fields.js";

const DEEPEST = 6;
const MAX_ENTRIES = 100;
const MAX_TEXT = 20_000;

const useStyles = makeStyles({
  whole: { fontSize: tokens.fontSizeBase200, lineHeight: tokens.lineHeightBase300, minWidth: 0 },
  label: { color: tokens.colorNeutralForeground3, marginBottom: "2px" },
  list: {
    display: "grid",
    gridTemplateColumns: "minmax(72px, max-content) minmax(0, 1fr)",
    columnGap: tokens.spacingHorizontalM,
    rowGap: "2px",
    margin: 0,
  },
  name: { color: tokens.colorNeutralForeground3, overflowWrap: "anywhere" },
  value: { margin: 0, minWidth: 0, overflowWrap: "anywhere" },
  items: { margin: 0, paddingLeft: "18px" },
  text: { margin: 0, whiteSpace: "pre-wrap", overflowWrap: "anywhere", font: "inherit" },
  number: { fontVariantNumeric: "tabular-nums" },
  none: { color: tokens.colorNeutralForeground3 },
  summary: { cursor: "pointer", color: tokens.colorNeutralForeground2 },
});

/** Renders any JSON value. */
export const JsonView = memo(function JsonView({ value, label }: { readonly value: unknown; readonly label?: string }) {
  const styles = useStyles();
  return (
    <div className={styles.whole}>
      {label && <div className={styles.label}>{label}</div>}
      <Value value={value} depth={0} />
    </div>
  );
});

/** The same, folded. */
export function JsonFold({ value, label }: { readonly value: unknown; readonly label: string }) {
  const styles = useStyles();
  return (
    <details className={styles.whole}>
      <summary className={styles.summary}>{label}</summary>
      <Value value={value} depth={0} />
    </details>
  );
}

function Value({ value, depth }: { readonly value: unknown; readonly depth: number }): ReactNode {
  const styles = useStyles();
  if (value === null || value === undefined || value === "") return <span className={styles.none}>none</span>;
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (typeof value === "number") return <span className={styles.number}>{String(value)}</span>;
  if (typeof value === "string") return <pre className={styles.text}>{shortened(value)}</pre>;
  if (depth >= DEEPEST) return <pre className={styles.text}>{shortened(JSON.stringify(value))}</pre>;
  if (Array.isArray(value)) return <Items items={value} depth={depth} />;
  return isFields(value) ? <Entries entries={Object.entries(value)} depth={depth} /> : null;
}

function Items({ items, depth }: { readonly items: readonly unknown[]; readonly depth: number }) {
  const styles = useStyles();
  if (items.length === 0) return <span className={styles.none}>none</span>;
  if (items.every((item) => typeof item !== "object")) return items.slice(0, MAX_ENTRIES).map(String).join(", ");
  return (
    <ol className={styles.items}>
      {items.slice(0, MAX_ENTRIES).map((item, at) => (
        <li key={at}>
          <Value value={item} depth={depth + 1} />
        </li>
      ))}
      <More count={items.length - MAX_ENTRIES} />
    </ol>
  );
}

function Entries({
  entries,
  depth,
}: {
  readonly entries: readonly (readonly [string, unknown])[];
  readonly depth: number;
}) {
  const styles = useStyles();
  if (entries.length === 0) return <span className={styles.none}>none</span>;
  return (
    <dl className={styles.list}>
      {entries.slice(0, MAX_ENTRIES).map(([name, value]) => (
        <div key={name} style={{ display: "contents" }}>
          <dt className={styles.name}>{fieldLabel(name)}</dt>
          <dd className={styles.value}>
            <Value value={value} depth={depth + 1} />
          </dd>
        </div>
      ))}
    </dl>
  );
}

function More({ count }: { readonly count: number }) {
  return count > 0 ? <li>{`and ${count} more`}</li> : null;
}

function shortened(text: string): string {
  return text.length > MAX_TEXT ? `${text.slice(0, MAX_TEXT)}…` : text;
}
