import { Button, makeStyles, Skeleton, SkeletonItem, tokens } from "@fluentui/react-components";
import {
  CloudOffRegular,
  LockClosedRegular,
  MoreHorizontalRegular,
  SearchRegular,
  WarningRegular,
} from "@fluentui/react-icons";
import { useDeferredValue, useMemo } from "react";
import type { Connection, PlanView as View } from "../../client/index.js";
import { useClient, useConnection, usePlan } from "../../react/index.js";
import { ConnectionTag } from "./status/connection_tag.js";
import { momentOf } from "./history/moments.js";
import { useTimeTravel } from "./history/use_time_travel.js";
import { PlanView } from "./plan_view.js";
import { Notice } from "./status/notice.js";

const useStyles = makeStyles({
  page: {
    containerName: "plan",
    containerType: "inline-size",
    display: "flex",
    flexDirection: "column",
    height: "100%",
    minHeight: 0,
    color: tokens.colorNeutralForeground1,
    backgroundColor: tokens.colorNeutralBackground1,
  },
  tag: { display: "flex", justifyContent: "flex-end", padding: tokens.spacingHorizontalL },
  skeleton: { display: "grid", gap: tokens.spacingVerticalL, padding: tokens.spacingHorizontalXL },
});

export interface PlanPageProps {
  readonly planId: string;
  /** The `at` of the address. */
  readonly moment?: string | undefined;
}

/** The page of one plan. It fills the height of its container. */
export function PlanPage({ planId, moment }: PlanPageProps) {
  const styles = useStyles();
  return (
    <div className={styles.page} data-plan={planId}>
      <Watched key={`${planId} ${moment ?? ""}`} planId={planId} moment={moment} />
    </div>
  );
}

function Watched({ planId, moment }: PlanPageProps) {
  const view = usePlan(planId);
  const connection = useConnection();
  const linked = useMemo(() => momentOf(moment), [moment]);
  const head = view.place?.offset ?? 0;
  const back = useTimeTravel(planId, view.place, linked);
  // Input has priority over updates of the plan.
  const now = useDeferredValue(view.snapshot);
  const plan = back.snapshot ?? now;
  if (view.phase === "refused") return <Refused view={view} />;
  if (!plan || !view.place) return <NotAvailable view={view} connection={connection} />;
  if (head === 0) return <NoEvents view={view} connection={connection} />;
  return <PlanView {...{ plan, connection, back }} place={view.place} phase={view.phase} error={view.error} />;
}

interface Shown {
  readonly view: View;
  readonly connection: Connection;
}

function Refused({ view }: { readonly view: View }) {
  const { code, message } = view.error ?? { code: "", message: "" };
  if (code === "forbidden") {
    return (
      <Notice icon={<LockClosedRegular />} title="You cannot view this plan" actions={<TryAgain />}>
        You are signed in, but you have no permission to read {view.planId}. The operator of the hub can grant it.
      </Notice>
    );
  }
  if (code === "invalid_plan_id") {
    return (
      <Notice icon={<SearchRegular />} title="Invalid plan id">
        “{view.planId}” is not valid: {message}.
      </Notice>
    );
  }
  const title = code === "plan_deleted" ? "This plan was deleted" : "This plan cannot be shown";
  return (
    <Notice icon={<WarningRegular />} title={title} actions={code === "plan_deleted" ? null : <TryAgain />}>
      {code === "plan_deleted" ? "Its events were deleted with it." : message}
    </Notice>
  );
}

function NotAvailable({ view, connection }: Shown) {
  const styles = useStyles();
  const { phase, planId, error } = view;
  if (connection.status === "refused") {
    return (
      <Notice icon={<LockClosedRegular />} title="The hub refused the connection" actions={<TryAgain />}>
        {connection.reason || `Close code ${connection.code}.`}
      </Notice>
    );
  }
  if (connection.status === "offline" || connection.status === "reconnecting") {
    return (
      <Notice
        icon={<CloudOffRegular />}
        title={connection.status === "offline" ? "You are offline" : "The hub can’t be reached"}
        actions={<ConnectionTag connection={connection} phase={phase} />}
      >
        The plan appears as soon as there is a connection. {error?.message}
      </Notice>
    );
  }
  return (
    <div aria-busy aria-label={`Loading plan ${planId}`} role="status">
      <div className={styles.tag}>
        <ConnectionTag connection={connection} phase={phase} error={error} />
      </div>
      <Skeleton className={styles.skeleton} aria-hidden>
        <SkeletonItem style={{ width: "40%", height: "28px" }} />
        <SkeletonItem style={{ height: "6px" }} />
        {[90, 70, 80, 60].map((width) => (
          <SkeletonItem key={width} style={{ width: `${width}%`, height: "18px" }} />
        ))}
      </Skeleton>
    </div>
  );
}

function NoEvents({ view, connection }: Shown) {
  return (
    <Notice
      icon={<MoreHorizontalRegular />}
      title="This plan has no events yet"
      actions={<ConnectionTag connection={connection} phase={view.phase} error={view.error} />}
    >
      Nothing has been published to {view.planId}. If the id is correct, leave this page open: the plan appears here
      with its first event.
    </Notice>
  );
}

function TryAgain() {
  const client = useClient();
  return <Button onClick={() => client.retry()}>Try again</Button>;
}
