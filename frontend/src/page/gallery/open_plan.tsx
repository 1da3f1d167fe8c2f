import { Button, Field, Input, makeStyles, tokens } from "@fluentui/react-components";
import { type SyntheticEvent, useState } from "react";
import { navigate } from "../navigation.js";
import { isPlanId } from "../routes.js";

const useStyles = makeStyles({
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

/** A plan whose id somebody knows. */
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
