import { Button, Field, Input, makeStyles, tokens } from "@fluentui/react-components";
import { type ReactNode, type SyntheticEvent, useState } from "react";

const useStyles = makeStyles({
  form: { display: "flex", flexDirection: "column", gap: tokens.spacingVerticalL },
  actions: { display: "flex", justifyContent: "flex-end", gap: tokens.spacingHorizontalS },
});

interface TokenFormProps {
  readonly submitLabel: string;
  /** Why the last token was refused. */
  readonly problem?: string | undefined;
  readonly onToken: (token: string) => void;
  /** More buttons. */
  readonly children?: ReactNode;
}

export function TokenForm({ submitLabel, problem, onToken, children }: TokenFormProps) {
  const styles = useStyles();
  const [text, setText] = useState("");
  const [missing, setMissing] = useState(false);
  const submit = (event: SyntheticEvent) => {
    event.preventDefault();
    const token = text.trim().replace(/^bearer\s+/i, "");
    setMissing(token === "");
    if (token !== "") onToken(token);
  };
  const error = missing ? "Paste a token first." : text === "" ? problem : undefined;
  return (
    <form className={styles.form} onSubmit={submit} noValidate>
      <Field
        label="Token"
        hint="It stays in this tab, and is removed when you close it."
        validationState={error ? "error" : "none"}
        {...(error && { validationMessage: error })}
      >
        <Input
          type="password"
          autoComplete="off"
          spellCheck={false}
          autoFocus
          value={text}
          onChange={(_, { value }) => setText(value)}
          placeholder="eyJ…"
        />
      </Field>
      <div className={styles.actions}>
        {children}
        <Button appearance="primary" type="submit">
          {submitLabel}
        </Button>
      </div>
    </form>
  );
}
