import { FluentProvider, webLightTheme } from "@fluentui/react-components";
import { act, cleanup, configure, render, screen } from "@testing-library/react";
import { afterEach, expect, test, vi } from "vitest";
import type { Client, PlanSummary } from "../../src/client/index.js";
import { Sidebar } from "../../src/page/plans/sidebar.js";
import type { Route } from "../../src/page/routes.js";
import { PlancastProvider } from "../../src/react/index.js";
import { at, planUpdate, ScriptedHub } from "../scripted_hub.js";

configure({ defaultHidden: true });

const clients: Client[] = [];

afterEach(() => {
  cleanup();
  for (const client of clients.splice(0)) client.close();
});

function summary(plan_id: string, more: object = {}): PlanSummary {
  const known = { title: plan_id, progress: null, owner: null, labels: [], epoch: "e", offset: 1 };
  return { plan_id, status: "in_progress", created_at: at, updated_at: at, ...known, ...more };
}

function open(...plans: readonly PlanSummary[]) {
  const hub = new ScriptedHub();
  const client = hub.client();
  clients.push(client);
  const asked = vi.spyOn(client, "plans").mockResolvedValue({ plans, cursor: null });
  const shown = (route: Route) => (
    <FluentProvider theme={webLightTheme}>
      <PlancastProvider client={client}>
        <Sidebar route={route} />
      </PlancastProvider>
    </FluentProvider>
  );
  const { rerender } = render(shown({ view: "welcome" }));
  return { hub, asked, go: (route: Route) => rerender(shown(route)) };
}

test("a status of a newer hub is shown by its name", async () => {
  open(summary("p", { status: "on_hold" }));
  await screen.findByText(/On hold/);
});

test("the focus stays on a plan in the list when the plan ends", async () => {
  const { hub, asked, go } = open(summary("p"));
  hub.publish("p", planUpdate({ title: "p" }));
  const link = await screen.findByRole("link", { name: /In progress/ });
  link.focus();
  asked.mockResolvedValue({ plans: [summary("p", { status: "completed", offset: 2 })], cursor: null });
  go({ view: "plan", planId: "p" });
  await screen.findByRole("link", { name: /Completed/ });
  expect(document.activeElement).toBe(link);
});

test("a new plan is listed at once, not at the next refresh", async () => {
  const { asked, go } = open();
  await screen.findByText("No plans yet");
  asked.mockResolvedValue({ plans: [summary("new")], cursor: null });
  const before = asked.mock.calls.length;
  act(() => go({ view: "plan", planId: "new" }));
  expect(asked.mock.calls.length).toBe(before + 1);
  await screen.findByRole("link", { name: /new/ });
});
