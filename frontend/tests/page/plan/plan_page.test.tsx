import { FluentProvider, webLightTheme } from "@fluentui/react-components";
import { act, cleanup, configure, fireEvent, render, screen, waitFor, within } from "@testing-library/react";
import { StrictMode } from "react";
import { afterAll, afterEach, beforeAll, expect, test, vi } from "vitest";
import { type Client, emptySnapshot, type PlanEvent } from "../../../src/client/index.js";
import { PlanPage } from "../../../src/page/plan/plan_page.js";
import { PlancastProvider } from "../../../src/react/index.js";
import { at, message, planUpdate, ScriptedHub } from "../../scripted_hub.js";
import { frame } from "./plans.js";

// Checking every element's visibility takes longer than everything else.
configure({ defaultHidden: true });

const clients: Client[] = [];
const TIMEOUT = { timeout: 30_000 };

/** happy-dom has no layout: elements have no size, so no rows would be rendered, and there is no scrolling or animation. */
const stubs = [
  [HTMLElement.prototype, "clientHeight", { get: () => 600 }],
  [HTMLElement.prototype, "offsetHeight", { get: () => 40 }],
  [Element.prototype, "animate", { value: undefined }],
  [Element.prototype, "scrollTo", { value: () => undefined }],
  [globalThis, "ResizeObserver", { value: undefined }],
] as const;
const real = stubs.map(([on, name]) => Object.getOwnPropertyDescriptor(on, name));
beforeAll(() => {
  for (const [on, name, stub] of stubs) Object.defineProperty(on, name, { configurable: true, ...stub });
});
afterAll(() => {
  stubs.forEach(([on, name], at) =>
    Object.defineProperty(on, name, real[at] ?? { configurable: true, value: undefined }),
  );
});

afterEach(() => {
  cleanup();
  for (const client of clients.splice(0)) client.close();
  vi.restoreAllMocks();
  vi.unstubAllGlobals();
});

function open(received: readonly PlanEvent[], moment?: string, planId = "p") {
  const hub = new ScriptedHub();
  const client = hub.client();
  clients.push(client);
  hub.publish("p", ...received);
  const events = vi.spyOn(client, "events").mockImplementation(async (plan_id, { after = 0 } = {}) => {
    await Promise.resolve();
    const rest = received.slice(after).map((event, index) => frame(after + index + 1, event));
    return { plan_id, epoch: "e", offset: received.length, head: received.length, events: rest };
  });
  render(
    <StrictMode>
      <FluentProvider theme={webLightTheme}>
        <PlancastProvider client={client}>
          <PlanPage planId={planId} moment={moment} />
        </PlancastProvider>
      </FluentProvider>
    </StrictMode>,
  );
  return { hub, client, events };
}

function stepUpdate(step_id: string, more: object): PlanEvent {
  return { type: "step_update", data: { plan_id: "p", timestamp: at, step_id, status: "in_progress", ...more } };
}

function asks(more: object = {}): PlanEvent {
  const known = { plan_id: "p", timestamp: at, request_id: "q", kind: "approval" as const, prompt: "Send it?" };
  return { type: "input_request", data: { ...known, agent_name: "Business Advisor", ...more } };
}

test("a plan: title, tag, progress, steps, messages", async () => {
  open([
    planUpdate({ title: "Trip to Rome", progress: 40 }),
    stepUpdate("look", { title: "Look around", agent_name: "Data Analyst" }),
    message("Let me see…"),
  ]);
  await screen.findByRole("heading", { level: 1, name: "Trip to Rome" }, TIMEOUT);
  await screen.findByText("Real-time updates active", {}, TIMEOUT);
  expect(screen.getByRole("progressbar", { name: "Progress of the plan" }).getAttribute("aria-valuenow")).toBe("0.4");
  const steps = screen.getByRole("region", { name: "Steps" });
  expect(within(steps).getByRole("heading", { name: "Look around" })).toBeTruthy();
  await within(screen.getByRole("region", { name: "Conversation" })).findByText("Let me see…", {}, TIMEOUT);
  expect(within(screen.getByRole("list", { name: "At work" })).getByText("Thinking…")).toBeTruthy();
});

test("new messages are shown, and results are announced", async () => {
  const { hub } = open([planUpdate({ title: "Trip" })]);
  await screen.findByRole("heading", { level: 1 }, TIMEOUT);
  act(() => hub.publish("p", message("The north grew.", { message_type: "result" })));
  await waitFor(() => expect(screen.getByRole("log").textContent).toContain("Data Analyst: The north grew."), TIMEOUT);
});

test("a question is answered in its card, which then shows who answered", async () => {
  const { hub } = open([planUpdate({ title: "Trip" }), asks({ options: ["yes", "no"] })]);
  const yes = await screen.findByRole("button", { name: "Yes" }, TIMEOUT);
  yes.focus();
  fireEvent.click(yes);
  await waitFor(
    () => expect(hub.received.at(-1)).toMatchObject({ type: "plan_input", request_id: "q", answer: "yes" }),
    TIMEOUT,
  );
  const answer = { plan_id: "p", timestamp: at, request_id: "q", answer: "yes", by: "ann", at };
  act(() => hub.publish("p", { type: "input_response", data: answer }));
  await screen.findByText(/answered by ann/, {}, TIMEOUT);
  expect(screen.queryByRole("button", { name: "Yes" })).toBeNull();
  expect(document.activeElement).toBe(screen.getByRole("region", { name: "Approval needed" }));
});

test("an answer with a schema has a form, and is validated before it is sent", async () => {
  const schema = { type: "object", properties: { nights: { type: "integer", minimum: 1 } }, required: ["nights"] };
  const { hub } = open([planUpdate({}), asks({ kind: "clarification", prompt: "How long?", schema })]);
  const field = await screen.findByLabelText(/Nights/, {}, TIMEOUT);
  fireEvent.change(field, { target: { value: "0" } });
  fireEvent.click(screen.getByRole("button", { name: "Send answer" }));
  await screen.findByText("Must be 1 or more.", {}, TIMEOUT);
  fireEvent.change(field, { target: { value: "3" } });
  fireEvent.click(screen.getByRole("button", { name: "Send answer" }));
  await waitFor(
    () => expect(hub.received.at(-1)).toMatchObject({ type: "plan_input", answer: { nights: 3 } }),
    TIMEOUT,
  );
});

test("pause is sent at once, cancel after a confirmation", async () => {
  const { hub } = open([planUpdate({ title: "Trip", data: { template: "trip" } })]);
  fireEvent.click(await screen.findByRole("button", { name: "Pause" }, TIMEOUT));
  await waitFor(() => expect(hub.received.at(-1)).toMatchObject({ type: "plan_signal", signal: "pause" }), TIMEOUT);
  fireEvent.click(await screen.findByRole("button", { name: "Cancel plan" }, TIMEOUT));
  fireEvent.click(await screen.findByRole("button", { name: "Cancel the plan" }, TIMEOUT));
  await waitFor(() => expect(hub.received.at(-1)).toMatchObject({ type: "plan_signal", signal: "cancel" }), TIMEOUT);
});

test("the buttons are those that the plan's worker obeys, and it is shown as stalled when it is gone", async () => {
  const worker = { worker_id: "w", plan_id: "p", timestamp: "2026-01-31T12:00:00.000Z" };
  const begun = { ...worker, state: "begun", name: "Mailer", lease_s: 30, obeys: ["cancel"] } as const;
  const { hub } = open([planUpdate({ title: "Letters" })]);
  await screen.findByRole("heading", { level: 1, name: "Letters" }, TIMEOUT);
  expect(screen.queryByRole("group", { name: "Plan actions" })).toBeNull();
  act(() => hub.publish("p", { type: "worker_update", data: begun }));
  await screen.findByRole("button", { name: "Cancel plan" }, TIMEOUT);
  screen.getByText("Mailer works on it");
  expect(screen.queryByRole("button", { name: "Pause" })).toBeNull();
  act(() => hub.publish("p", { type: "worker_update", data: { ...worker, state: "lost" } }));
  await screen.findByText("Stalled", {}, TIMEOUT);
  screen.getByText("Mailer is gone");
  expect(screen.queryByRole("group", { name: "Plan actions" })).toBeNull();
});

test("a link to a position shows the plan as it was, with a way back to now", async () => {
  open([planUpdate({ title: "First" }), message("early"), planUpdate({ title: "Later" }), message("late")], "e.2");
  await screen.findByRole("heading", { level: 1, name: "First" }, TIMEOUT);
  expect(screen.queryByText("late")).toBeNull();
  fireEvent.click(screen.getByRole("button", { name: "Back to now" }));
  await screen.findByRole("heading", { level: 1, name: "Later" }, TIMEOUT);
  await screen.findByText("late", {}, TIMEOUT);
});

test("the slider goes to any event", async () => {
  open([planUpdate({ title: "First" }), planUpdate({ title: "Second" }), planUpdate({ title: "Third" })]);
  const slider = await screen.findByRole("slider", { name: "Moment of the plan" }, TIMEOUT);
  fireEvent.change(slider, { target: { value: "2" } });
  await screen.findByRole("heading", { level: 1, name: "Second" }, TIMEOUT);
  fireEvent.keyDown(document.body, { key: "," });
  await screen.findByRole("heading", { level: 1, name: "First" }, TIMEOUT);
  fireEvent.keyDown(document.body, { key: "l" });
  await screen.findByRole("heading", { level: 1, name: "Third" }, TIMEOUT);
});

test("a restarted plan shows its current state, and its history is read again", async () => {
  const { hub, events } = open([planUpdate({ title: "First" }), planUpdate({ title: "Second" })]);
  const slider = await screen.findByRole("slider", { name: "Moment of the plan" }, TIMEOUT);
  fireEvent.change(slider, { target: { value: "1" } });
  await screen.findByRole("heading", { level: 1, name: "First" }, TIMEOUT);
  const data = { ...emptySnapshot("p"), offset: 3, status: "in_progress", title: "Restarted" };
  act(() => hub.sockets.at(-1)?.deliver({ type: "snapshot", plan_id: "p", epoch: "f", offset: 3, data }));
  await screen.findByRole("heading", { level: 1, name: "Restarted" }, TIMEOUT);
  events.mockClear();
  fireEvent.keyDown(document.body, { key: "," });
  await waitFor(() => expect(events).toHaveBeenCalledWith("p", expect.objectContaining({ after: 0 })), TIMEOUT);
});

test("without a clipboard, as over plain HTTP, the link is shown in a prompt", async () => {
  const prompt = vi.fn();
  vi.stubGlobal("prompt", prompt);
  vi.spyOn(navigator, "clipboard", "get").mockReturnValue(undefined as unknown as Clipboard);
  open([planUpdate({ title: "Trip" })]);
  fireEvent.click(await screen.findByRole("button", { name: "Copy a link to this plan" }, TIMEOUT));
  await waitFor(() => expect(prompt).toHaveBeenCalledWith("Copy this link", expect.stringContaining("/plan/p")));
});

test("tool calls can be folded", async () => {
  const call = { plan_id: "p", timestamp: at, agent_name: "Ann", call_id: "c", tool_name: "sql" };
  open([{ type: "tool_call", data: { ...call, phase: "completed", arguments: { query: "select 1" }, result: 7 } }]);
  const head = await screen.findByRole("button", { name: /sql/ }, TIMEOUT);
  expect(head.getAttribute("aria-expanded")).toBe("false");
  fireEvent.click(head);
  expect(head.getAttribute("aria-expanded")).toBe("true");
  expect(screen.getByText("Query")).toBeTruthy();
});

test("the results tab", async () => {
  open([planUpdate({}), stepUpdate("s", { status: "completed", title: "Sums", data: { rows: [{ n: 1 }, { n: 2 }] } })]);
  fireEvent.click(await screen.findByRole("tab", { name: /Results/ }, TIMEOUT));
  await screen.findByRole("heading", { level: 2, name: /Sums/ }, TIMEOUT);
});

test("messages are never rendered as HTML, and only http(s) URLs are links", async () => {
  open([message("<img src=x onerror=alert(1)> [a](javascript:alert(1)) [b](https://example.org/b) **c**")]);
  const link = await screen.findByRole("link", { name: "b" }, TIMEOUT);
  expect(link.getAttribute("rel")).toContain("noopener");
  expect(document.querySelector("img")).toBeNull();
  expect(screen.queryByRole("link", { name: "a" })).toBeNull();
});

test("a plan without events", async () => {
  open([]);
  await screen.findByRole("heading", { name: "This plan has no events yet" }, TIMEOUT);
});

test("an invalid plan id", async () => {
  open([], undefined, "no plan/at all");
  await screen.findByRole("heading", { name: "Invalid plan id" }, TIMEOUT);
});

test("the plan stays visible during a reconnect", async () => {
  const { hub } = open([planUpdate({ title: "Trip" })]);
  await screen.findByText("Real-time updates active", {}, TIMEOUT);
  const before = hub.sockets.length;
  act(() => hub.sockets.at(-1)?.drop());
  await waitFor(() => expect(hub.sockets.length).toBeGreaterThan(before), TIMEOUT);
  await screen.findByText("Real-time updates active", {}, TIMEOUT);
  expect(screen.getByRole("heading", { level: 1, name: "Trip" })).toBeTruthy();
});
