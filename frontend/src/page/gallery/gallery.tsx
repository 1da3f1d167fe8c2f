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
import { useState } from "react";
import type { Template } from "../../client/index.js";
import { Message } from "../shell/message.js";
import { SampleTraffic } from "./sample_traffic.js";
import { StartDialog } from "./start_dialog.js";
import { useTemplates } from "./templates.js";

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

/** What can be started here, as cards. */
export function Gallery() {
  const styles = useStyles();
  const { templates, error, retry } = useTemplates();
  const [chosen, setChosen] = useState<Template>();
  const comesBack = useRestoreFocusTarget();
  if (error) {
    return (
      <Message
        icon={<PlugDisconnectedRegular />}
        title="What can be started isn't known"
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
              {...comesBack}
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
    <Skeleton aria-label="Loading what can be started">
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
    <Message icon={<SparkleRegular />} title="This hub shows plans and starts none" actions={<SampleTraffic />}>
      Agents anywhere can tell of theirs, and you can watch. To start plans from here, run the hub with its engine:
      install plancast[all], or name templates with --templates.
    </Message>
  );
}
