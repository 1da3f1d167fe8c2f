import { useCallback, useEffect, useState } from "react";
import type { PlancastError, Template } from "../../client/index.js";
import { useClient } from "../../react/index.js";

export interface Templates {
  /** null: not known yet. */
  readonly templates: readonly Template[] | null;
  readonly error: PlancastError | null;
  readonly retry: () => void;
}

/** What can be started here. */
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
