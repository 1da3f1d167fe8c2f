import { Button, Text, tokens } from "@fluentui/react-components";
import { useState } from "react";
import type { Client } from "../../client/index.js";
import { useClient } from "../../react/index.js";
import { navigate } from "../navigation.js";

/** Has a hub in development say its sample about a new plan, and shows that plan. */
export function SampleTraffic() {
  const client = useClient();
  const [failure, setFailure] = useState<string>();
  const [asking, setAsking] = useState(false);
  const begin = async () => {
    setAsking(true);
    const planId = `sample-${Date.now().toString(36)}`;
    const failed = await begun(client, planId);
    setAsking(false);
    setFailure(failed);
    if (failed === undefined) navigate({ view: "plan", planId });
  };
  return (
    <>
      <Button onClick={() => void begin()} disabledFocusable={asking}>
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

/** Settles when something was said of the plan (the request itself takes as long as the sample), or with why nothing was. */
async function begun(client: Client, planId: string): Promise<string | undefined> {
  let stop = (): void => undefined;
  const said = new Promise<undefined>((resolve) => {
    const store = client.plan(planId);
    stop = store.subscribe(() => (store.getSnapshot().place?.offset ?? 0) > 0 && resolve(undefined));
  });
  const failed = client.sampleTraffic(planId).then(
    () => undefined,
    (error: unknown) => `This hub has no sample: ${error instanceof Error ? error.message : String(error)}`,
  );
  return Promise.race([said, failed]).finally(() => stop());
}
