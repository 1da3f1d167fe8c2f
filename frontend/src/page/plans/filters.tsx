import { Button, CounterBadge, Field, Input, makeStyles, SearchBox, Select, tokens } from "@fluentui/react-components";
import { FilterRegular } from "@fluentui/react-icons";
import { useState } from "react";
import type { PlanStatus } from "../../client/index.js";
import { PLAN_STATUS_LABELS } from "../plan/status/labels.js";
import { NO_FILTER, filterCount, type PlanFilter } from "./plan_filter.js";

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
  readonly filter: PlanFilter;
  readonly onFilter: (filter: PlanFilter) => void;
}

export function Filters({ filter, onFilter }: FiltersProps) {
  const styles = useStyles();
  const [open, setOpen] = useState(false);
  const count = filterCount(filter);
  return (
    <div role="search" aria-label="Plans" className={styles.root}>
      <div className={styles.row}>
        <SearchBox
          className={styles.search}
          aria-label="Search plans"
          placeholder="Search plans"
          value={filter.text}
          onChange={(_, { value }) => onFilter({ ...filter, text: value })}
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
      {open && <More filter={filter} onFilter={onFilter} />}
    </div>
  );
}

function More({ filter, onFilter }: FiltersProps) {
  const styles = useStyles();
  return (
    <div className={styles.more}>
      <Field label="Status" size="small" className={styles.wide}>
        <Select
          size="small"
          value={filter.status}
          onChange={(_, { value }) => onFilter({ ...filter, status: value as PlanStatus | "" })}
        >
          <option value="">Any</option>
          {Object.entries(PLAN_STATUS_LABELS).map(([status, label]) => (
            <option key={status} value={status}>
              {label}
            </option>
          ))}
        </Select>
      </Field>
      <Field label="Owner" size="small">
        <Input
          size="small"
          className={styles.control}
          value={filter.owner}
          onChange={(_, { value }) => onFilter({ ...filter, owner: value })}
        />
      </Field>
      <Field label="Label" size="small">
        <Input
          size="small"
          className={styles.control}
          value={filter.label}
          onChange={(_, { value }) => onFilter({ ...filter, label: value })}
        />
      </Field>
      {filterCount(filter) > 0 && (
        <Button
          size="small"
          appearance="subtle"
          className={styles.wide}
          onClick={() => onFilter({ ...NO_FILTER, text: filter.text })}
        >
          Clear filters
        </Button>
      )}
    </div>
  );
}
