/** Notices when the hub doesn't let this page in (any more), and tells the session. */
import { useEffect } from "react";
import { PlancastError } from "../../client/index.js";
import { useClient, useConnection } from "../../react/index.js";
import type { SessionStore } from "./session.js";

const TOKEN_EXPIRED = 4440;
const UNAUTHENTICATED = 4501;

export function Doorkeeper({ session }: { readonly session: SessionStore }) {
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
    if (refusal === UNAUTHENTICATED) session.refuse(false, "The hub doesn't know this token.");
  }, [refusal, session]);
  return null;
}
