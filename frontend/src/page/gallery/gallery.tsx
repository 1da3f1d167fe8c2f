import {
  Button,
  makeStyles,
  mergeClasses,
  shorthands,
  Skeleton,
  SkeletonItem,
  Subtitle2,
  Text,
  tokens,
  useRestoreFocusTarget,
} from "@fluentui/react-components";
import { ArrowRightRegular, PlugDisconnectedRegular, SparkleRegular } from "@fluentui/react-icons";
import { useCallback, useEffect, useState } from "react";
import type { Client, PlancastError, Template } from "../../client/index.js";
import { useClient } from "../../react/index.js";
import { navigate } from "../navigation.js";
import { Message } from "../shell/message.js";
import { StartDialog } from "./start_dialog.js";

const useStyles = makeStyles({
  grid: {
    display: "grid",
    gridTemplateColumns: "repeat(auto-fill, minmax(min(17rem, 100%), 1fr))",
    gap: tokens.spacingHorizontalL,
    margin: 0,
    padding: 0,
    listStyleType: "none",
  },
  card: {
    width: "100%",
    height: "100%",
    minHeight: "9.5rem",
    boxSizing: "border-box",
    display: "flex",
    flexDirection: "column",
    alignItems: "flex-start",
    gap: tokens.spacingVerticalXS,
    padding: tokens.spacingHorizontalL,
    textAlign: "start",
    fontFamily: "inherit",
    fontSize: "inherit",
    color: tokens.colorNeutralForeground1,
    backgroundColor: tokens.colorNeutralBackground1,
    border: `1px solid ${tokens.colorNeutralStroke2}`,
    borderRadius: tokens.borderRadiusXLarge,
  },
  button: {
    cursor: "pointer",
    transitionProperty: "border-color, box-shadow, transform",
    transitionDuration: tokens.durationFast,
    ":hover": { boxShadow: tokens.shadow8, ...shorthands.borderColor(tokens.colorBrandStroke2) },
    ":hover .go": { transform: "translateX(3px)" },
    ":focus-visible": { outline: `2px solid ${tokens.colorStrokeFocus2}`, outlineOffset: "2px" },
  },
  about: { color: tokens.colorNeutralForeground2, lineHeight: tokens.lineHeightBase300 },
  go: {
    marginTop: "auto",
    paddingTop: tokens.spacingVerticalM,
    display: "inline-flex",
    alignItems: "center",
    gap: tokens.spacingHorizontalXS,
    color: tokens.colorBrandForeground1,
    fontWeight: tokens.fontWeightSemibold,
  },
});

/** The templates as cards. */
export function Gallery() {
  const styles = useStyles();
  const { templates, error, retry } = useTemplates();
  const [chosen, setChosen] = useState<Template>();
  const restoreFocus = useRestoreFocusTarget();
  if (error) {
    return (
      <Message
        icon={<PlugDisconnectedRegular />}
        title="The templates could not be loaded"
        actions={<Button onClick={retry}>Try again</Button>}
      >
        {error.message}
      </Message>
    );
  }
  if (templates === null) return <Loading />;
  if (templates.length === 0) return <NothingToStart />;
  return (
    <>
      <ul className={styles.grid} aria-label="Templates">
        {templates.map((template) => (
          <li key={template.name}>
            <button
              type="button"
              {...restoreFocus}
              className={mergeClasses(styles.card, styles.button)}
              onClick={() => setChosen(template)}
            >
              <Subtitle2 as="span">{template.title}</Subtitle2>
              <Text className={styles.about}>{template.about}</Text>
              <span className={mergeClasses(styles.go, "go")}>
                Start <ArrowRightRegular />
              </span>
            </button>
          </li>
        ))}
      </ul>
      {chosen && <StartDialog key={chosen.name} template={chosen} onClose={() => setChosen(undefined)} />}
    </>
  );
}

function Loading() {
  const styles = useStyles();
  return (
    <Skeleton aria-label="Loading templates">
      <div className={styles.grid}>
        {[1, 2, 3].map((place) => (
          <div key={place} className={styles.card}>
            <SkeletonItem size={20} style={{ width: "60%" }} />
            <SkeletonItem size={12} />
            <SkeletonItem size={12} style={{ width: "80%" }} />
          </div>
        ))}
      </div>
    </Skeleton>
  );
}

function NothingToStart() {
  return (
    <Message icon={<SparkleRegular />} title="This hub cannot start plans" actions={<SampleTraffic />}>
      You can watch plans that agents publish. To start plans here, run the hub with its engine: install plancast[all],
      or pass templates with --templates.
    </Message>
  );
}

export interface Templates {
  /** null: not known yet. */
  readonly templates: readonly Template[] | null;
  readonly error: PlancastError | null;
  readonly retry: () => void;
}

/** The hub's templates. */
export function useTemplates(): Templates {
  const client = useClient();
  const [tries, setTries] = useState(0);
  const [known, setKnown] = useState<Omit<Templates, "retry">>({ templates: null, error: null });
  useEffect(() => {
    let gone = false;
    client.templates().then(
      (templates) => !gone && setKnown({ templates, error: null }),
      (error: unknown) => !gone && setKnown({ templates: null, error: error as PlancastError }),
    );
    return () => {
      gone = true;
    };
  }, [client, tries]);
  const retry = useCallback(() => {
    setKnown({ templates: null, error: null });
    setTries((count) => count + 1);
  }, []);
  return { ...known, retry };
}

/** Publishes sample events to a new plan (on hubs in development mode), and shows that plan. */
export function SampleTraffic() {
  const client = useClient();
  const [failure, setFailure] = useState<string>();
  const [starting, setStarting] = useState(false);
  const start = async () => {
    setStarting(true);
    const planId = `sample-${Date.now().toString(36)}`;
    const failed = await started(client, planId);
    setStarting(false);
    setFailure(failed);
    if (failed === undefined) navigate({ view: "plan", planId });
  };
  return (
    <>
      <Button onClick={() => void start()} disabledFocusable={starting}>
        Show me a sample plan
      </Button>
      {failure && (
        <Text role="alert" style={{ color: tokens.colorPaletteRedForeground1 }}>
          {failure}
        </Text>
      )}
    </>
  );
}

/** Resolves when the plan has its first event (the request itself lasts as long as the sample), or with an error message. */
async function started(client: Client, planId: string): Promise<string | undefined> {
  let stop = (): void => undefined;
  const published = new Promise<undefined>((resolve) => {
    const store = client.plan(planId);
    stop = store.subscribe(() => (store.getSnapshot().place?.offset ?? 0) > 0 && resolve(undefined));
  });
  const failed = client.sampleTraffic(planId).then(
    () => undefined,
    (error: unknown) => `This hub has no sample: ${error instanceof Error ? error.message : String(error)}`,
  );
  return Promise.race([published, failed]).finally(() => stop());
}
