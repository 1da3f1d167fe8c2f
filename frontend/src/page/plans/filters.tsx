import { Button, CounterBadge, Field, Input, makeStyles, SearchBox, Select, tokens } from "@fluentui/react-components";
import { FilterRegular } from "@fluentui/react-icons";
import { useState } from "react";
import type { PlanStatus } from "../../client/index.js";
import { PLAN_WORDS } from "../plan/status/words.js";
import { EVERYTHING, filterCount, type Sought } from "./sought.js";

const useStyles = makeStyles({
  root: { display: "flex", flexDirection: "column", gap: tokens.spacingVerticalS },
  row: { display: "flex", gap: tokens.spacingHorizontalXS },
  search: { flex: 1, minWidth: 0 },
  more: { display: "grid", gridTemplateColumns: "1fr 1fr", gap: tokens.spacingHorizontalS, "& > *": { minWidth: 0 } },
  wide: { gridColumn: "1 / -1" },
  control: { minWidth: 0, width: "100%" },
  funnel: { position: "relative" },
  badge: { position: "absolute", top: "-4px", right: "-4px" },
});

interface FiltersProps {
  readonly sought: Sought;
  readonly onSought: (sought: Sought) => void;
}

export function Filters({ sought, onSought }: FiltersProps) {
  const styles = useStyles();
  const [open, setOpen] = useState(false);
  const count = filterCount(sought);
  return (
    <div role="search" aria-label="Plans" className={styles.root}>
      <div className={styles.row}>
        <SearchBox
          className={styles.search}
          aria-label="Search plans"
          placeholder="Search plans"
          value={sought.text}
          onChange={(_, { value }) => onSought({ ...sought, text: value })}
        />
        <span className={styles.funnel}>
          <Button
            appearance="subtle"
            icon={<FilterRegular />}
            aria-label={count ? `Filters, ${count} set` : "Filters"}
            aria-expanded={open}
            onClick={() => setOpen(!open)}
          />
          {count > 0 && <CounterBadge className={styles.badge} size="small" count={count} aria-hidden="true" />}
        </span>
      </div>
      {open && <More sought={sought} onSought={onSought} />}
    </div>
  );
}

function More({ sought, onSought }: FiltersProps) {
  const styles = useStyles();
  return (
    <div className={styles.more}>
      <Field label="Status" size="small" className={styles.wide}>
        <Select
          size="small"
          value={sought.status}
          onChange={(_, { value }) => onSought({ ...sought, status: value as PlanStatus | "" })}
        >
          <option value="">Any</option>
          {Object.entries(PLAN_WORDS).map(([status, words]) => (
            <option key={status} value={status}>
              {words}
            </option>
          ))}
        </Select>
      </Field>
      <Field label="Owner" size="small">
        <Input
          size="small"
          className={styles.control}
          value={sought.owner}
          onChange={(_, { value }) => onSought({ ...sought, owner: value })}
        />
      </Field>
      <Field label="Label" size="small">
        <Input
          size="small"
          className={styles.control}
          value={sought.label}
          onChange={(_, { value }) => onSought({ ...sought, label: value })}
        />
      </Field>
      {filterCount(sought) > 0 && (
        <Button
          size="small"
          appearance="subtle"
          className={styles.wide}
          onClick={() => onSought({ ...EVERYTHING, text: sought.text })}
        >
          Clear filters
        </Button>
      )}
    </div>
  );
}
