import {
  Button,
  CounterBadge,
  makeStyles,
  mergeClasses,
  Tab,
  TabList,
  tokens,
  Tooltip,
} from "@fluentui/react-components";
import { Keyboard20Regular } from "@fluentui/react-icons";
import { type RefObject, useDeferredValue, useEffect, useMemo, useRef, useState } from "react";
import type { Connection, Place, PlancastError, PlanPhase, Snapshot } from "../../client/index.js";
import { ConversationPanel } from "./conversation/conversation_panel.js";
import { Scrubber } from "./history/scrubber.js";
import type { TimeTravel } from "./history/use_time_travel.js";
import { resultsOf, ResultsPanel } from "./results/results_panel.js";
import type { Shortcut } from "./shortcuts.js";
import { useShortcuts } from "./shortcuts.js";
import { ShortcutsDialog } from "./shortcuts_dialog.js";
import { moment } from "./status/durations.js";
import { announcement } from "./status/labels.js";
import { PlanHeader } from "./status/plan_header.js";
import { StepsPanel } from "./steps/steps_panel.js";

/** Below this width, steps do not fit beside the conversation. */
const NARROW = 860;

const useStyles = makeStyles({
  view: { display: "flex", flexDirection: "column", flexGrow: 1, minHeight: 0, minWidth: 0 },
  body: { display: "flex", flexGrow: 1, minHeight: 0, borderTop: `1px solid ${tokens.colorNeutralStroke2}` },
  side: {
    display: "flex",
    flexDirection: "column",
    width: "340px",
    flexShrink: 0,
    minHeight: 0,
    borderRight: `1px solid ${tokens.colorNeutralStroke2}`,
  },
  main: { display: "flex", flexDirection: "column", flexGrow: 1, minWidth: 0, minHeight: 0 },
  tabs: {
    display: "flex",
    alignItems: "center",
    justifyContent: "space-between",
    paddingRight: tokens.spacingHorizontalS,
    borderBottom: `1px solid ${tokens.colorNeutralStroke3}`,
  },
  panel: { display: "flex", flexDirection: "column", flexGrow: 1, minHeight: 0, minWidth: 0 },
  hidden: { display: "none" },
  count: { marginLeft: tokens.spacingHorizontalXS },
  past: {
    display: "flex",
    flexWrap: "wrap",
    alignItems: "center",
    gap: tokens.spacingHorizontalM,
    padding: `${tokens.spacingVerticalXS} ${tokens.spacingHorizontalXL}`,
    color: tokens.colorBrandForeground2,
    backgroundColor: tokens.colorBrandBackground2,
    fontSize: tokens.fontSizeBase200,
  },
  unseen: {
    position: "absolute",
    width: "1px",
    height: "1px",
    overflow: "hidden",
    clipPath: "inset(50%)",
    whiteSpace: "nowrap",
  },
});

type View = "steps" | "conversation" | "results";

interface Props {
  /** The snapshot to show: the current or a past one. */
  readonly plan: Snapshot;
  readonly place: Place;
  readonly connection: Connection;
  readonly phase: PlanPhase;
  readonly error: PlancastError | null;
  readonly back: TimeTravel;
}

export function PlanView({ plan, place, connection, phase, error, back }: Props) {
  const styles = useStyles();
  const root = useRef<HTMLDivElement>(null);
  const narrow = useIsNarrow(root, NARROW);
  const [chosen, setView] = useState<View>("conversation");
  const [help, setHelp] = useState(false);
  const view = chosen === "steps" && !narrow ? "conversation" : chosen;
  const past = back.offset !== null;
  const [enabled, setEnabled] = useShortcuts((shortcut) => runShortcut(shortcut, back, place.offset, setView, setHelp));
  return (
    <div ref={root} className={styles.view}>
      <PlanHeader plan={plan} connection={connection} phase={phase} error={error} past={past} />
      {past && <PastBanner plan={plan} back={back} />}
      <div className={styles.body}>
        {!narrow && (
          <div className={styles.side}>
            <StepsPanel steps={plan.steps} past={past} />
          </div>
        )}
        <div className={styles.main}>
          <div className={styles.tabs}>
            <Tabs view={view} narrow={narrow} plan={plan} onView={setView} />
            <Tooltip content="Keyboard shortcuts" relationship="label">
              <Button size="small" appearance="subtle" icon={<Keyboard20Regular />} onClick={() => setHelp(true)} />
            </Tooltip>
          </div>
          <Panels view={view} plan={plan} past={past} />
        </div>
      </div>
      <Scrubber planId={plan.plan_id} place={place} back={back} />
      <div role="status" className={styles.unseen}>
        {past ? "" : announcement(plan)}
      </div>
      <ShortcutsDialog open={help} enabled={enabled} onClose={() => setHelp(false)} onEnabled={setEnabled} />
    </div>
  );
}

function runShortcut(
  shortcut: Shortcut,
  back: TimeTravel,
  head: number,
  setView: (view: View) => void,
  setHelp: (open: boolean) => void,
): void {
  const here = back.offset ?? head;
  const actions: Readonly<Partial<Record<Shortcut, () => void>>> = {
    play: back.playing ? back.pause : back.play,
    back: () => back.goTo(Math.max(back.past.start, here - 1)),
    forward: () => back.goTo(here + 1 >= head ? null : here + 1),
    live: () => back.goTo(null),
    help: () => setHelp(true),
    conversation: () => setView("conversation"),
    results: () => setView("results"),
    steps: () => setView("steps"),
  };
  actions[shortcut]?.();
}

interface TabsProps {
  readonly view: View;
  readonly narrow: boolean;
  readonly plan: Snapshot;
  readonly onView: (view: View) => void;
}

function Tabs({ view, narrow, plan, onView }: TabsProps) {
  const styles = useStyles();
  const count = resultsOf(plan).length + plan.artifacts.length;
  return (
    <TabList selectedValue={view} onTabSelect={(_, { value }) => onView(value as View)}>
      {narrow && <Tab value="steps">Steps</Tab>}
      <Tab value="conversation">Conversation</Tab>
      <Tab value="results">
        Results
        {count > 0 && (
          <CounterBadge className={styles.count} size="small" appearance="filled" color="informative" count={count} />
        )}
      </Tab>
    </TabList>
  );
}

/** The conversation stays mounted in the background, with its scroll position and form input. */
function Panels({ view, plan, past }: { readonly view: View; readonly plan: Snapshot; readonly past: boolean }) {
  const styles = useStyles();
  const results = useMemo(() => resultsOf({ result: plan.result, steps: plan.steps }), [plan.result, plan.steps]);
  const shown = useDeferredValue(view);
  return (
    <>
      <div className={mergeClasses(styles.panel, view !== "conversation" && styles.hidden)}>
        <ConversationPanel plan={plan} past={past} />
      </div>
      {shown === "results" && view === "results" && <ResultsPanel results={results} artifacts={plan.artifacts} />}
      {view === "steps" && <StepsPanel steps={plan.steps} past={past} />}
    </>
  );
}

function PastBanner({ plan, back }: { readonly plan: Snapshot; readonly back: TimeTravel }) {
  const styles = useStyles();
  return (
    <div className={styles.past} data-past>
      <span>
        {back.snapshot
          ? `Showing the plan ${plan.updated_at ? `as of ${moment(plan.updated_at)}` : "before its first event"}, after event ${plan.offset}.`
          : "Loading the history…"}
      </span>
      <Button size="small" appearance="transparent" onClick={() => back.goTo(null)}>
        Back to now
      </Button>
    </div>
  );
}

/** Whether an element is narrower than this, in pixels. */
export function useIsNarrow(element: RefObject<HTMLElement | null>, below: number): boolean {
  const [narrow, setNarrow] = useState(false);
  useEffect(() => {
    const watched = element.current;
    if (!watched || typeof ResizeObserver === "undefined") return;
    const observer = new ResizeObserver(([entry]) => {
      if (entry && entry.contentRect.width > 0) setNarrow(entry.contentRect.width < below);
    });
    observer.observe(watched);
    return () => observer.disconnect();
  }, [element, below]);
  return narrow;
}
