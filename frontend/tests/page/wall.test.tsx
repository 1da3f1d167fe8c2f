import { FluentProvider, webLightTheme } from "@fluentui/react-components";
import { act, cleanup, configure, render, screen } from "@testing-library/react";
import { afterEach, expect, test } from "vitest";
import { Wall } from "../../src/page/wall/wall.js";
import { PlancastProvider } from "../../src/react/index.js";
import { planUpdate, ScriptedHub } from "../scripted_hub.js";

configure({ defaultHidden: true });
afterEach(cleanup);

const TIMEOUT = { timeout: 30_000 };
const PLANS = ["p", "q"];

test("the tag shows live updates, until the token has expired", async () => {
  const hub = new ScriptedHub();
  const client = hub.client();
  for (const plan of PLANS) hub.publish(plan, planUpdate({ title: `Plan ${plan}` }));
  render(
    <FluentProvider theme={webLightTheme}>
      <PlancastProvider client={client}>
        <Wall plans={PLANS} />
      </PlancastProvider>
    </FluentProvider>,
  );
  await screen.findByText("Real-time updates active", {}, TIMEOUT);
  const reason = "the token has expired";
  act(() => hub.sockets[0]?.deliver({ type: "subscription_ended", plan_id: "q", code: 2501, reason }));
  await screen.findByText("Sign-in expired", {}, TIMEOUT);
  expect(screen.queryByText("Real-time updates active")).toBeNull();
  client.close();
});
