import { Button, Spinner } from "@fluentui/react-components";
import { SearchInfoRegular } from "@fluentui/react-icons";
import { lazy, Suspense } from "react";
import type { PlanView } from "../client/index.js";
import { usePlan } from "../react/index.js";
import { Welcome } from "./gallery/welcome.js";
import { navigate } from "./navigation.js";
import { planWords } from "./plan/status/words.js";
import type { Route } from "./routes.js";
import { Boundary } from "./shell/boundary.js";
import { Message } from "./shell/message.js";
import { useTitle } from "./shell/title.js";

const PlanPage = lazy(() => import("./plan/index.js").then((module) => ({ default: module.PlanPage })));
const Wall = lazy(() => import("./wall/wall.js").then((module) => ({ default: module.Wall })));

/** What an address shows. */
export function View({ route }: { readonly route: Route }) {
  return (
    <Boundary about={route.view === "plan" ? route.planId : route.view}>
      <Suspense fallback={<Spinner style={{ height: "60%" }} label="Loading…" />}>
        <Shown route={route} />
      </Suspense>
    </Boundary>
  );
}

function Shown({ route }: { readonly route: Route }) {
  switch (route.view) {
    case "welcome":
      return <Welcome />;
    case "wall":
      return <Wall plans={route.plans} />;
    case "plan":
      return (
        <>
          <PlanTitle planId={route.planId} />
          <PlanPage key={route.planId} planId={route.planId} {...(route.at !== undefined && { moment: route.at })} />
        </>
      );
    case "not_found":
      return <NotFound path={route.path} />;
  }
}

/** The document's title follows the plan, so that a tab in the background tells how it stands. */
function PlanTitle({ planId }: { readonly planId: string }) {
  useTitle(usePlan(planId, titleOf));
  return null;
}

function titleOf({ snapshot, planId }: PlanView): string {
  if (!snapshot || snapshot.offset === 0) return planId;
  return `${planWords(snapshot.status)}: ${snapshot.title ?? planId}`;
}

function NotFound({ path }: { readonly path: string }) {
  useTitle("Not found");
  return (
    <Message
      icon={<SearchInfoRegular />}
      rank={1}
      title="There is nothing at this address"
      actions={
        <Button appearance="primary" onClick={() => navigate({ view: "welcome" })}>
          To the start
        </Button>
      }
    >
      {path} is no plan of this hub. A plan’s address is /plan/ and its id, of letters, digits and . _ : @ ~ -
    </Message>
  );
}
