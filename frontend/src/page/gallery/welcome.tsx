import { Button, Field, Input, LargeTitle, makeStyles, Text, tokens } from "@fluentui/react-components";
import { type SyntheticEvent, useState } from "react";
import { navigate } from "../navigation.js";
import { isPlanId } from "../routes.js";
import { useTitle } from "../shell/title.js";
import { Gallery } from "./gallery.js";

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
  form: {
    display: "flex",
    alignItems: "flex-start",
    flexWrap: "wrap",
    gap: tokens.spacingHorizontalS,
    maxWidth: "30rem",
  },
  field: { flex: "1 1 14rem" },
  button: { marginTop: "26px" },
});

/** `/`: starts a plan, or opens one by its id. */
export function Welcome() {
  const styles = useStyles();
  useTitle(undefined);
  return (
    <div className={styles.root}>
      <div className={styles.lead}>
        <LargeTitle as="h1" className={styles.title}>
          What should the agents work on?
        </LargeTitle>
        <Text className={styles.quiet}>
          Start a plan and watch it live, step by step. You can close the page at any time: the work continues, and
          everything is here when you come back.
        </Text>
      </div>
      <Gallery />
      <OpenPlan />
    </div>
  );
}

/** Opens a plan by its id. */
export function OpenPlan() {
  const styles = useStyles();
  const [text, setText] = useState("");
  const [problem, setProblem] = useState<string>();
  const open = (event: SyntheticEvent) => {
    event.preventDefault();
    const planId = text.trim();
    if (isPlanId(planId)) navigate({ view: "plan", planId });
    else setProblem("A plan id is 1 to 128 of A–Z a–z 0–9 . _ : @ ~ -");
  };
  return (
    <form className={styles.form} onSubmit={open} noValidate>
      <Field
        className={styles.field}
        label="Or watch a plan by its id"
        {...(problem && { validationState: "error" as const, validationMessage: problem })}
      >
        <Input
          value={text}
          placeholder="plan-1"
          spellCheck={false}
          onChange={(_, { value }) => {
            setText(value);
            setProblem(undefined);
          }}
        />
      </Field>
      <Button type="submit" className={styles.button}>
        Watch
      </Button>
    </form>
  );
}
