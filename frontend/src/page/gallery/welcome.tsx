import { LargeTitle, makeStyles, Text, tokens } from "@fluentui/react-components";
import { useTitle } from "../shell/title.js";
import { Gallery } from "./gallery.js";
import { OpenPlan } from "./open_plan.js";

const useStyles = makeStyles({
  root: {
    width: "min(64rem, 100%)",
    boxSizing: "border-box",
    margin: "0 auto",
    padding: `clamp(${tokens.spacingVerticalXXL}, 6vh, 72px) clamp(${tokens.spacingHorizontalL}, 4vw, 48px)`,
    display: "flex",
    flexDirection: "column",
    gap: tokens.spacingVerticalXXXL,
  },
  lead: { display: "flex", flexDirection: "column", gap: tokens.spacingVerticalS },
  title: {
    margin: 0,
    letterSpacing: "-0.02em",
    textWrap: "balance",
    fontSize: "clamp(28px, 4.4vw, 40px)",
    lineHeight: 1.15,
  },
  quiet: {
    color: tokens.colorNeutralForeground2,
    fontSize: tokens.fontSizeBase400,
    lineHeight: 1.5,
    maxWidth: "40rem",
  },
});

/** `/`: what can be begun here. */
export function Welcome() {
  const styles = useStyles();
  useTitle(undefined);
  return (
    <div className={styles.root}>
      <div className={styles.lead}>
        <LargeTitle as="h1" className={styles.title}>
          What shall the agents work on?
        </LargeTitle>
        <Text className={styles.quiet}>
          Start a plan and watch it live, step by step. Close the page when you like: the work goes on, and all of it is
          here when you come back.
        </Text>
      </div>
      <Gallery />
      <OpenPlan />
    </div>
  );
}
