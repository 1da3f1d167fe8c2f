import { Button, Spinner } from "@fluentui/react-components";
import { SearchInfoRegular } from "@fluentui/react-icons";
import { Component, lazy, type ReactNode, Suspense } from "react";
import type { PlanView } from "../client/index.js";
import { usePlan } from "../react/index.js";
import { Welcome } from "./gallery/welcome.js";
import { navigate } from "./navigation.js";
import { planStatusLabel } from "./plan/status/labels.js";
import type { Route } from "./routes.js";
import { Message } from "./shell/message.js";
import { useTitle } from "./shell/title.js";

const PlanPage = lazy(() => import("./plan/plan_page.js").then((module) => ({ default: module.PlanPage })));
const Wall = lazy(() => import("./wall/wall.js").then((module) => ({ default: module.Wall })));

/** The view of a route. */
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

/** Sets the document's title to the plan's status, for background tabs. */
function PlanTitle({ planId }: { readonly planId: string }) {
  useTitle(usePlan(planId, titleOf));
  return null;
}

function titleOf({ snapshot, planId }: PlanView): string {
  if (!snapshot || snapshot.offset === 0) return planId;
  return `${planStatusLabel(snapshot.status)}: ${snapshot.title ?? planId}`;
}

function NotFound({ path }: { readonly path: string }) {
  useTitle("Not found");
  return (
    <Message
      icon={<SearchInfoRegular />}
      rank={1}
      title="Page not found"
      actions={
        <Button appearance="primary" onClick={() => navigate({ view: "welcome" })}>
          Go to the start page
        </Button>
      }
    >
      There is nothing at {path}. A plan’s address is /plan/ followed by its id: letters, digits and . _ : @ ~ -
    </Message>
  );
}

interface BoundaryProps {
  /** A change of it clears the error. */
  readonly about: string;
  readonly children: ReactNode;
}

interface BoundaryState {
  readonly about: string;
  readonly failed: boolean;
}

/** Error boundary of a view. It also catches chunks that fail to load after an update of the hub. */
export class Boundary extends Component<BoundaryProps, BoundaryState> {
  override state: BoundaryState = { about: this.props.about, failed: false };

  static getDerivedStateFromError(): Partial<BoundaryState> {
    return { failed: true };
  }

  static getDerivedStateFromProps({ about }: BoundaryProps, state: BoundaryState): BoundaryState | null {
    return state.about === about ? null : { about, failed: false };
  }

  override render(): ReactNode {
    if (!this.state.failed) return this.props.children;
    return (
      <Message
        rank={1}
        title="Something went wrong"
        actions={<Button onClick={() => location.reload()}>Reload</Button>}
      >
        This is an error of the page; the plan is not affected. If the hub was just updated, reloading the page helps.
      </Message>
    );
  }
}
