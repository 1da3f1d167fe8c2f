import { Button, makeStyles, Title2, tokens } from "@fluentui/react-components";
import { GridRegular } from "@fluentui/react-icons";
import { useCallback, useEffect, useState, useSyncExternalStore } from "react";
import { isPlanEnded, type PlancastError } from "../../client/index.js";
import { useClient, useConnection } from "../../react/index.js";
import { navigate } from "../navigation.js";
import { MAX_WALL_PLANS } from "../routes.js";
import { ConnectionTag } from "../plan/status/connection_tag.js";
import { Message } from "../shell/message.js";
import { useNow } from "../shell/now.js";
import { useTitle } from "../shell/title.js";
import { WallCard } from "./card.js";
import { rememberWall, toggledOnWall } from "./wall_plans.js";

const TIMES_MS = 15_000;

const useStyles = makeStyles({
  root: {
    display: "flex",
    flexDirection: "column",
    gap: tokens.spacingVerticalL,
    padding: `${tokens.spacingVerticalXL} clamp(${tokens.spacingHorizontalL}, 2.5vw, 32px)`,
  },
  top: { display: "flex", flexWrap: "wrap", alignItems: "center", gap: tokens.spacingHorizontalM },
  title: { margin: 0, marginRight: "auto" },
  grid: {
    display: "grid",
    gridTemplateColumns: "repeat(auto-fill, minmax(min(19rem, 100%), 1fr))",
    gap: tokens.spacingHorizontalL,
    margin: 0,
    padding: 0,
    listStyleType: "none",
  },
});

/** `/wall?plan=a&plan=b`: many plans side by side, over one connection. */
export function Wall({ plans }: { readonly plans: readonly string[] }) {
  const styles = useStyles();
  const now = useNow(TIMES_MS);
  const connection = useConnection();
  const error = useUnavailable(plans);
  useTitle(plans.length > 0 ? `Wall of ${plans.length}` : "Wall");
  useEffect(() => rememberWall(plans), [plans]);
  return (
    <div className={styles.root}>
      <div className={styles.top}>
        <Title2 as="h1" className={styles.title}>
          Wall
        </Title2>
        {plans.length > 0 && <ConnectionTag connection={connection} phase={error ? "waiting" : "live"} error={error} />}
        {plans.length > 0 && <AddRunning plans={plans} />}
      </div>
      {plans.length === 0 ? (
        <Message
          icon={<GridRegular />}
          rank={2}
          title="The wall is empty"
          actions={<AddRunning plans={plans} primary />}
        >
          Add plans with the button beside each plan in the list, and watch them side by side. The address contains the
          selection, so you can share it.
        </Message>
      ) : (
        <ul className={styles.grid} aria-label="Plans on the wall">
          {plans.map((planId) => (
            <li key={planId}>
              <WallCard planId={planId} now={now} onOff={removeFromWall} />
            </li>
          ))}
        </ul>
      )}
    </div>
  );
}

/** Why a plan on the wall is not available; null if all are. */
function useUnavailable(plans: readonly string[]): PlancastError | null {
  const client = useClient();
  const subscribe = useCallback(
    (listener: () => void) => {
      const leave = plans.map((planId) => client.plan(planId).subscribe(listener));
      return () => leave.forEach((end) => end());
    },
    [client, plans],
  );
  const unavailable = () =>
    plans.map((planId) => client.plan(planId).getSnapshot()).find(({ phase, error }) => phase === "waiting" && error);
  return useSyncExternalStore(subscribe, unavailable)?.error ?? null;
}

function removeFromWall(planId: string): void {
  navigate({ view: "wall", plans: toggledOnWall(planId) });
}

/** Adds all running plans to the wall. */
function AddRunning({ plans, primary = false }: { readonly plans: readonly string[]; readonly primary?: boolean }) {
  const client = useClient();
  const [failure, setFailure] = useState<string>();
  const add = () =>
    client.plans({ limit: 200 }).then(
      (page) => {
        const running = page.plans.filter(({ status }) => !isPlanEnded(status)).map(({ plan_id }) => plan_id);
        const all = [...new Set([...plans, ...running])].slice(0, MAX_WALL_PLANS);
        setFailure(all.length === plans.length ? "No other plan is running." : undefined);
        navigate({ view: "wall", plans: all });
      },
      (error: unknown) => setFailure((error as PlancastError).message),
    );
  return (
    <>
      <span role="status">{failure}</span>
      <Button appearance={primary ? "primary" : "secondary"} onClick={() => void add()}>
        Add all running plans
      </Button>
    </>
  );
}
