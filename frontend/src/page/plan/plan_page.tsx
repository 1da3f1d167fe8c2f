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
import { useLookingBack } from "./history/use_looking_back.js";
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
  /** As in the address: `?at=…`. */
  readonly moment?: string | undefined;
}

/** A plan: how it goes, and how it went. Fills the height of what it is in. */
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
  const back = useLookingBack(planId, view.place, linked);
  // What is typed or clicked comes first, what agents say a moment later.
  const now = useDeferredValue(view.snapshot);
  const plan = back.snapshot ?? now;
  if (view.phase === "refused") return <Refused view={view} />;
  if (!plan || !view.place) return <NotHereYet view={view} connection={connection} />;
  if (head === 0) return <NothingSaid view={view} connection={connection} />;
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
      <Notice icon={<LockClosedRegular />} title="This plan isn’t yours to see" actions={<TryAgain />}>
        You are signed in, but without the right to read {view.planId}. Whoever runs it can give you that.
      </Notice>
    );
  }
  if (code === "invalid_plan_id") {
    return (
      <Notice icon={<SearchRegular />} title="There is no such plan">
        “{view.planId}” can’t be the name of a plan: {message}.
      </Notice>
    );
  }
  const title = code === "plan_deleted" ? "This plan was deleted" : "This plan can’t be shown";
  return (
    <Notice icon={<WarningRegular />} title={title} actions={code === "plan_deleted" ? null : <TryAgain />}>
      {code === "plan_deleted" ? "Nothing of it is kept any more." : message}
    </Notice>
  );
}

function NotHereYet({ view, connection }: Shown) {
  const styles = useStyles();
  const { phase, planId, error } = view;
  if (connection.status === "refused") {
    return (
      <Notice icon={<LockClosedRegular />} title="The hub doesn’t let you in" actions={<TryAgain />}>
        {connection.reason || `It said ${connection.code}.`}
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

function NothingSaid({ view, connection }: Shown) {
  return (
    <Notice
      icon={<MoreHorizontalRegular />}
      title="Nothing is known of this plan yet"
      actions={<ConnectionTag connection={connection} phase={view.phase} error={view.error} />}
    >
      Nobody has said anything about {view.planId}. If that is the right name, leave this page open: the plan appears
      here with its first word.
    </Notice>
  );
}

function TryAgain() {
  const client = useClient();
  return <Button onClick={() => client.retry()}>Try again</Button>;
}
