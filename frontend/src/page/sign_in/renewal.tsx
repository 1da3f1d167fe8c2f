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
import { useEffect, useState } from "react";
import { PlancastError } from "../../client/index.js";
import { useClient, useConnection } from "../../react/index.js";
import type { Session, SessionStore } from "./session.js";
import { TokenForm } from "./token_form.js";

const useStyles = makeStyles({
  content: { display: "flex", flexDirection: "column", gap: tokens.spacingVerticalL },
});

/** Asks for a new token: with a message bar before the current one expires, with a dialog after that. The page stays as it is. */
export function Renewal({ session, store }: { readonly session: Session; readonly store: SessionStore }) {
  const styles = useStyles();
  const client = useClient();
  const [asked, setAsked] = useState(false);
  const expired = session.access.state === "expired";
  const endsSoon = session.access.state === "open" && session.access.endsSoon;
  const renew = (token: string) => {
    setAsked(false);
    store.renew(token);
    client.retry();
  };
  return (
    <>
      {endsSoon && (
        <MessageBar intent="warning">
          <MessageBarBody>Your sign-in expires soon.</MessageBarBody>
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
            <DialogTitle>{expired ? "Your sign-in has expired" : "Renew your sign-in"}</DialogTitle>
            <DialogContent className={styles.content}>
              <span>
                {expired
                  ? "This page stays as it is. Paste a new token to continue."
                  : "Paste a new token to continue without interruption."}
              </span>
              <TokenForm submitLabel="Continue" onToken={renew}>
                {expired && <Button onClick={() => store.signOut()}>Sign out</Button>}
              </TokenForm>
            </DialogContent>
          </DialogBody>
        </DialogSurface>
      </Dialog>
    </>
  );
}

const TOKEN_EXPIRED = 4440;
const UNAUTHENTICATED = 4501;

/** Updates the session when the hub refuses the page's token. */
export function AuthWatcher({ session }: { readonly session: SessionStore }) {
  const client = useClient();
  const refusal = useConnection((connection) => (connection.status === "refused" ? connection.code : undefined));

  useEffect(() => {
    let gone = false;
    client.plans({ limit: 1 }).catch((error: unknown) => {
      if (!gone && error instanceof PlancastError && error.status === 401) {
        session.refuse(error.code === "token_expired", error.message);
      }
    });
    return () => {
      gone = true;
    };
  }, [client, session]);

  useEffect(() => {
    if (refusal === TOKEN_EXPIRED) session.expire();
    if (refusal === UNAUTHENTICATED) session.refuse(false, "The hub does not accept this token.");
  }, [refusal, session]);
  return null;
}
