import {
  Button,
  Dialog,
  DialogBody,
  DialogContent,
  DialogSurface,
  DialogTitle,
  makeStyles,
  MessageBar,
  MessageBarActions,
  MessageBarBody,
  tokens,
} from "@fluentui/react-components";
import { useState } from "react";
import { useClient } from "../../react/index.js";
import type { Session, SessionStore } from "./session.js";
import { TokenForm } from "./token_form.js";

const useStyles = makeStyles({
  words: { display: "flex", flexDirection: "column", gap: tokens.spacingVerticalL },
});

/** A token that ends: first a word in time, then a question. What the page shows stays where it is. */
export function Renewal({ session, store }: { readonly session: Session; readonly store: SessionStore }) {
  const styles = useStyles();
  const client = useClient();
  const [asked, setAsked] = useState(false);
  const expired = session.door.state === "expired";
  const endsSoon = session.door.state === "open" && session.door.endsSoon;
  const renew = (token: string) => {
    setAsked(false);
    store.renew(token);
    client.retry();
  };
  return (
    <>
      {endsSoon && (
        <MessageBar intent="warning">
          <MessageBarBody>Your sign-in ends in a moment.</MessageBarBody>
          <MessageBarActions>
            <Button onClick={() => setAsked(true)}>Renew</Button>
          </MessageBarActions>
        </MessageBar>
      )}
      <Dialog
        open={expired || (endsSoon && asked)}
        modalType={expired ? "alert" : "modal"}
        onOpenChange={(_, { open }) => setAsked(open)}
      >
        <DialogSurface>
          <DialogBody>
            <DialogTitle>{expired ? "Your sign-in has ended" : "Renew your sign-in"}</DialogTitle>
            <DialogContent className={styles.words}>
              <span>
                {expired
                  ? "What you see stays. Paste a fresh token, and it goes on where it was."
                  : "Paste a fresh token, and nothing is interrupted."}
              </span>
              <TokenForm submitLabel="Go on" onToken={renew}>
                {expired && <Button onClick={() => store.leave()}>Sign out</Button>}
              </TokenForm>
            </DialogContent>
          </DialogBody>
        </DialogSurface>
      </Dialog>
    </>
  );
}
