import { Button, makeStyles, Skeleton, SkeletonItem, tokens } from "@fluentui/react-components";
import { AddRegular, DocumentSearchRegular, LockClosedRegular, PlugDisconnectedRegular } from "@fluentui/react-icons";
import { useDeferredValue, useEffect, useRef, useState } from "react";
import { isPlanEnded } from "../../client/index.js";
import { type PlanListing, usePlanList } from "../../react/index.js";
import { navigate } from "../navigation.js";
import type { Route } from "../routes.js";
import { Message } from "../shell/message.js";
import { useNow } from "../shell/now.js";
import { toggledOnWall } from "../wall/wall_plans.js";
import { Filters } from "./filters.js";
import { PlanRow } from "./plan_row.js";
import { NO_FILTER, filterCount, matching, queryOf, type PlanFilter } from "./plan_filter.js";

const REFRESH_MS = 3_000;
const TIMES_MS = 30_000;
/** How many of the newest running plans are watched; the others show the state of the last refresh. */
const WATCHED = 12;

const useStyles = makeStyles({
  root: { display: "flex", flexDirection: "column", height: "100%", minHeight: 0 },
  top: { display: "flex", flexDirection: "column", gap: tokens.spacingVerticalM, padding: tokens.spacingHorizontalM },
  scroll: {
    flex: 1,
    minHeight: 0,
    overflowY: "auto",
    padding: `0 ${tokens.spacingHorizontalS} ${tokens.spacingVerticalL}`,
  },
  list: { margin: 0, padding: 0, listStyleType: "none", display: "flex", flexDirection: "column", gap: "2px" },
  loading: {
    display: "flex",
    flexDirection: "column",
    gap: tokens.spacingVerticalL,
    padding: tokens.spacingHorizontalM,
  },
  more: { width: "100%", marginTop: tokens.spacingVerticalS },
});

/** The list of plans. */
export function Sidebar({ route }: { readonly route: Route }) {
  const styles = useStyles();
  const [filter, setFilter] = useState<PlanFilter>(NO_FILTER);
  const list = usePlanList(queryOf(useDeferredValue(filter)), { refreshMs: REFRESH_MS });
  useRefreshOn(route.view === "plan" ? route.planId : undefined, list.refresh);
  return (
    <div className={styles.root}>
      <div className={styles.top}>
        <Button appearance="primary" icon={<AddRegular />} onClick={() => navigate({ view: "welcome" })}>
          New plan
        </Button>
        <Filters filter={filter} onFilter={setFilter} />
      </div>
      {/* Keyboard users scroll through the links; focusable for when there are none. */}
      <div className={styles.scroll} tabIndex={-1}>
        <Rows list={list} filter={filter} route={route} onClear={() => setFilter(NO_FILTER)} />
      </div>
    </div>
  );
}

/** Refreshes the list when another plan is shown, since it may be new. */
function useRefreshOn(planId: string | undefined, refresh: () => void): void {
  const last = useRef(planId);
  useEffect(() => {
    if (last.current === planId) return;
    last.current = planId;
    refresh();
  }, [planId, refresh]);
}

interface RowsProps {
  readonly list: PlanListing;
  readonly filter: PlanFilter;
  readonly route: Route;
  readonly onClear: () => void;
}

function Rows({ list, filter, route, onClear }: RowsProps) {
  const styles = useStyles();
  const now = useNow(TIMES_MS);
  const plans = matching(list.plans, filter.text);
  if (list.plans.length === 0 && list.loading) return <Loading />;
  if (list.plans.length === 0 && list.error) return <Failed list={list} />;
  if (plans.length === 0) return <Nothing filter={filter} onClear={onClear} />;
  const watched = new Set(plans.filter(({ status }) => !isPlanEnded(status)).slice(0, WATCHED));
  const onWall = new Set(route.view === "wall" ? route.plans : []);
  return (
    <>
      <ul className={styles.list} aria-label="Plans">
        {plans.map((plan) => (
          <PlanRow
            key={plan.plan_id}
            plan={plan}
            live={watched.has(plan)}
            now={now}
            chosen={route.view === "plan" && route.planId === plan.plan_id}
            onWall={onWall.has(plan.plan_id)}
            onToggleWall={toggleWall}
          />
        ))}
      </ul>
      {list.hasMore && (
        <Button appearance="subtle" className={styles.more} disabledFocusable={list.loading} onClick={list.loadMore}>
          {list.loading ? "Loading…" : "Load more"}
        </Button>
      )}
    </>
  );
}

function toggleWall(planId: string): void {
  navigate({ view: "wall", plans: toggledOnWall(planId) });
}

function Loading() {
  const styles = useStyles();
  return (
    <Skeleton aria-label="Loading plans" className={styles.loading}>
      {[70, 55, 80, 60, 45].map((width) => (
        <SkeletonItem key={width} size={16} style={{ width: `${width}%` }} />
      ))}
    </Skeleton>
  );
}

function Failed({ list }: { readonly list: PlanListing }) {
  const forbidden = list.error?.status === 403;
  const icon = forbidden ? <LockClosedRegular /> : <PlugDisconnectedRegular />;
  return (
    <Message
      icon={icon}
      title={forbidden ? "You are not allowed to list plans" : "The plans could not be loaded"}
      actions={!forbidden && <Button onClick={list.refresh}>Try again</Button>}
    >
      {list.error?.message}
    </Message>
  );
}

function Nothing({ filter, onClear }: Pick<RowsProps, "filter" | "onClear">) {
  if (filter.text.trim() === "" && filterCount(filter) === 0) {
    return <Message title="No plans yet">Plans appear here, the most recently active first.</Message>;
  }
  return (
    <Message
      icon={<DocumentSearchRegular />}
      title="No matching plans"
      actions={<Button onClick={onClear}>Show all</Button>}
    >
      No plan matches the search and the filters.
    </Message>
  );
}
