import { act, cleanup, render, renderHook, screen, waitFor } from "@testing-library/react";
import { memo, type ReactNode, StrictMode, useState } from "react";
import { renderToString } from "react-dom/server";
import { afterEach, expect, test, vi } from "vitest";
import type { Client, MessageState } from "../../src/client/index.js";
import {
  PlancastProvider,
  useClient,
  useConnection,
  usePlan,
  usePlanEvents,
  usePlanInput,
  usePlanList,
  usePlanSignal,
} from "../../src/react/index.js";
import { at, message, planUpdate, ScriptedHub } from "../scripted_hub.js";

const clients: Client[] = [];

afterEach(() => {
  cleanup();
  for (const client of clients.splice(0)) client.close();
  vi.restoreAllMocks();
});

function page() {
  const hub = new ScriptedHub();
  const client = hub.client();
  clients.push(client);
  const within = ({ children }: { readonly children: ReactNode }) => (
    <StrictMode>
      <PlancastProvider client={client}>{children}</PlancastProvider>
    </StrictMode>
  );
  return { hub, client, within };
}

test("a plan is shown, and updated", async () => {
  const { hub, within } = page();
  hub.publish("p", planUpdate({ title: "Trip to Rome" }));
  const { result } = renderHook(() => usePlan("p"), { wrapper: within });
  expect(result.current).toMatchObject({ snapshot: null, status: null, phase: "waiting", live: false });
  await waitFor(() => expect(result.current.live).toBe(true));
  expect(result.current).toMatchObject({ status: "in_progress", snapshot: { title: "Trip to Rome" } });
  act(() => hub.publish("p", planUpdate({ status: "completed" })));
  await waitFor(() => expect(result.current.status).toBe("completed"));
});

test("five hooks, one socket, one subscription", async () => {
  const { hub, within } = page();
  const Five = () => {
    usePlan("p");
    usePlan("p", (plan) => plan.live);
    usePlanEvents("p");
    usePlanInput("p", "q");
    return useConnection().status;
  };
  render(<Five />, { wrapper: within });
  await screen.findByText("live");
  expect(hub.sockets).toHaveLength(1);
  expect(hub.received.map(({ type }) => type)).toEqual(["subscribe_plan"]);
});

test("many plans share one socket; a plan that is unmounted is unsubscribed", async () => {
  const hub = new ScriptedHub();
  const client = hub.client({ lingerMs: 1 });
  clients.push(client);
  const Plan = ({ id }: { readonly id: string }) => <p>{usePlan(id).live ? `${id} is live` : ""}</p>;
  const All = ({ ids }: { readonly ids: readonly string[] }) => ids.map((id) => <Plan key={id} id={id} />);
  const shown = (ids: readonly string[]) => (
    <PlancastProvider client={client}>
      <All ids={ids} />
    </PlancastProvider>
  );
  const { rerender } = render(shown(["a", "b", "c"]));
  for (const id of ["a", "b", "c"]) await screen.findByText(`${id} is live`);
  rerender(shown(["a"]));
  await waitFor(() => expect(hub.received.filter(({ type }) => type === "unsubscribe_plan")).toHaveLength(2));
  expect(hub.sockets).toHaveLength(1);
  expect(client.plan("a").getSnapshot().live).toBe(true);
});

test("connection changes re-render only the plans that they affect", async () => {
  const { hub, client } = page();
  hub.publish("p", planUpdate({ title: "Trip" }));
  let renders = 0;
  const Plan = () => {
    renders++;
    return <p>{usePlan("p").phase}</p>;
  };
  render(
    <PlancastProvider client={client}>
      <Plan />
    </PlancastProvider>,
  );
  await screen.findByText("live");
  act(() => hub.sockets[0]?.drop());
  await screen.findByText("waiting");
  const before = renders;
  act(() => client.retry());
  act(() => hub.sockets[1]?.drop());
  expect(client.connection.getSnapshot()).toMatchObject({ status: "reconnecting" });
  expect(renders).toBe(before);
});

test("changes outside of the selected value do not re-render", async () => {
  const { hub, client } = page();
  hub.publish("p", planUpdate({ title: "Trip" }));
  const renders = { title: 0, list: 0 };
  const Title = () => {
    renders.title++;
    return <h1>{usePlan("p", ({ snapshot }) => snapshot?.title ?? "")}</h1>;
  };
  const Ids = () => {
    renders.list++;
    const ids = usePlan(
      "p",
      ({ snapshot }) => snapshot?.messages.map(({ message_id }) => message_id) ?? [],
      (one, other) => one.join() === other.join(),
    );
    return <p>{ids.join()}</p>;
  };
  render(
    <PlancastProvider client={client}>
      <Title />
      <Ids />
    </PlancastProvider>,
  );
  await screen.findByText("Trip");
  const before = { ...renders };
  for (let count = 0; count < 20; count++) {
    act(() => hub.publish("p", message("more ", { message_id: "m", append: true })));
    await waitFor(() => expect(client.plan("p").getSnapshot().place?.offset).toBe(count + 2));
  }
  await screen.findByText("m");
  expect(renders).toEqual({ title: before.title, list: before.list + 1 });
});

test("of many messages, only the one that grows re-renders", async () => {
  const { hub, client } = page();
  hub.publish("p", ...Array.from({ length: 50 }, (_, count) => message(`message ${count}`)));
  const renders = new Map<string, number>();
  const Message = memo(({ message: { message_id, content } }: { readonly message: MessageState }) => {
    renders.set(message_id, (renders.get(message_id) ?? 0) + 1);
    return <li>{content}</li>;
  });
  const Conversation = () => {
    const messages = usePlan("p", ({ snapshot }) => snapshot?.messages);
    return (
      <ul>
        {messages?.map((one) => (
          <Message key={one.message_id} message={one} />
        ))}
      </ul>
    );
  };
  render(
    <PlancastProvider client={client}>
      <Conversation />
    </PlancastProvider>,
  );
  await screen.findByText("message 49");
  act(() => hub.publish("p", message("grow", { message_id: "m", append: true })));
  await screen.findByText("grow");
  act(() => hub.publish("p", message("ing", { message_id: "m", append: true })));
  await screen.findByText("growing");
  expect(Object.fromEntries(renders)).toMatchObject({ "@1": 1, "@50": 1, m: 2 });
  expect(Math.max(...renders.values())).toBe(2);
});

test("switching the plan of a component never shows the previous plan", async () => {
  const { hub, within } = page();
  hub.publish("a", planUpdate({ title: "A" }));
  hub.publish("b", planUpdate({ title: "B" }));
  const seen: string[] = [];
  const { result, rerender } = renderHook(
    ({ id }) => {
      const { planId, snapshot } = usePlan(id);
      if (snapshot) seen.push(`${id}:${planId}:${snapshot.title ?? ""}`);
      return snapshot?.title;
    },
    { wrapper: within, initialProps: { id: "a" } },
  );
  await waitFor(() => expect(result.current).toBe("A"));
  rerender({ id: "b" });
  await waitFor(() => expect(result.current).toBe("B"));
  expect([...new Set(seen)]).toEqual(["a:a:A", "b:b:B"]);
});

test("the newest events, filtered by type", async () => {
  const { hub, within } = page();
  const { result } = renderHook(() => usePlanEvents("p", { limit: 2, types: ["agent_message"] }), { wrapper: within });
  await waitFor(() => expect(hub.sockets[0]?.plans.has("p")).toBe(true));
  act(() => hub.publish("p", message("1"), planUpdate({}), message("2"), message("3")));
  await waitFor(() => expect(result.current.map(({ offset }) => offset)).toEqual([3, 4]));
});

test("the states of the connection", async () => {
  const { hub, client, within } = page();
  const { result } = renderHook(() => [usePlan("p").phase, useConnection()] as const, { wrapper: within });
  await waitFor(() => expect(result.current[1].status).toBe("live"));
  act(() => hub.sockets[0]?.drop(1012, "restart"));
  expect(result.current).toMatchObject(["waiting", { status: "reconnecting", attempt: 1, reason: "restart" }]);
  act(() => client.retry());
  await waitFor(() => expect(result.current).toMatchObject(["live", { status: "live" }]));
  act(() => hub.sockets[1]?.drop(4503, "not for you"));
  expect(result.current[1]).toEqual({ status: "refused", code: 4503, reason: "not for you" });
});

test("an input request is answered", async () => {
  const { hub, within } = page();
  const asked = { plan_id: "p", timestamp: at, request_id: "q", kind: "approval" as const, prompt: "Go?" };
  hub.publish("p", { type: "input_request", data: asked });
  let refuse = true;
  hub.onRequest = ({ type, plan_id, request_id }) =>
    refuse
      ? { type: "error", code: "invalid_answer", message: "say yes or no", plan_id, request_id }
      : { type: type === "plan_input" ? "input_accepted" : "", plan_id, request_id, epoch: "e", offset: 2 };
  const { result } = renderHook(() => usePlanInput("p", "q"), { wrapper: within });
  expect(result.current.state).toBe("gone");
  await waitFor(() => expect(result.current).toMatchObject({ state: "open", request: { prompt: "Go?" } }));
  await act(() => result.current.answer("maybe"));
  expect(result.current).toMatchObject({ state: "open", error: { code: "invalid_answer" } });
  refuse = false;
  let answered = Promise.resolve();
  act(() => void (answered = result.current.answer("yes")));
  expect(result.current.state).toBe("sending");
  await act(() => answered);
  act(() =>
    hub.publish("p", {
      type: "input_response",
      data: { plan_id: "p", timestamp: at, request_id: "q", answer: "yes", at },
    }),
  );
  await waitFor(() =>
    expect(result.current).toMatchObject({ state: "answered", request: { answer: "yes" }, error: null }),
  );
});

test("an accepted answer stays in state sending until its event is received", async () => {
  const { hub, within } = page();
  const asked = { plan_id: "p", timestamp: at, kind: "approval" as const, prompt: "Go?" };
  hub.publish("p", { type: "input_request", data: { ...asked, request_id: "q" } });
  hub.publish("p", { type: "input_request", data: { ...asked, request_id: "other" } });
  hub.onRequest = ({ plan_id, request_id }) =>
    request_id === "q"
      ? { type: "input_accepted", plan_id, request_id, epoch: "e", offset: 3 }
      : { type: "error", code: "invalid_answer", message: "say yes or no", plan_id, request_id };
  const states: string[] = [];
  const { result, rerender } = renderHook(
    ({ id }) => {
      const input = usePlanInput("p", id);
      states.push(input.state);
      return input;
    },
    { wrapper: within, initialProps: { id: "q" } },
  );
  await waitFor(() => expect(result.current.state).toBe("open"));
  states.length = 0;
  await act(() => result.current.answer("yes"));
  expect(result.current.state).toBe("sending");
  rerender({ id: "other" });
  expect(result.current.state).toBe("open");
  rerender({ id: "q" });
  states.length = 0;
  const answered = { plan_id: "p", timestamp: at, request_id: "q", answer: "yes", at };
  act(() => hub.publish("p", { type: "input_response", data: answered }));
  await waitFor(() => expect(result.current.state).toBe("answered"));
  expect(states).not.toContain("open");
  rerender({ id: "other" });
  await act(() => result.current.answer("maybe"));
  expect(result.current.error).toMatchObject({ code: "invalid_answer" });
  rerender({ id: "q" });
  expect(result.current.error).toBeNull();
});

test("an expired input request cannot be answered", async () => {
  const { hub, within } = page();
  const asked = {
    plan_id: "p",
    timestamp: at,
    request_id: "q",
    kind: "approval" as const,
    prompt: "Go?",
    expires_at: at,
  };
  hub.publish("p", { type: "input_request", data: asked });
  const { result } = renderHook(() => usePlanInput("p", "q"), { wrapper: within });
  await waitFor(() => expect(result.current.state).toBe("expired"));
});

test("signals", async () => {
  const { hub, within } = page();
  const { result } = renderHook(() => usePlanSignal("p"), { wrapper: within });
  await act(() => result.current.send("pause"));
  expect(result.current).toMatchObject({ sending: null, error: null });
  hub.onRequest = ({ plan_id, request_id }) => ({
    type: "error",
    code: "plan_ended",
    message: "over",
    plan_id,
    request_id,
  });
  await act(() => result.current.send("cancel"));
  expect(result.current.error).toMatchObject({ code: "plan_ended" });
});

test("a list of plans loads more, and refreshes", async () => {
  const summary = (plan_id: string, offset = 1) => ({ plan_id, offset, epoch: "e", status: "in_progress" });
  let plans = [summary("a"), summary("b")];
  const asked: string[] = [];
  const fetching = (url: string) => {
    asked.push(url);
    const limit = Number(new URL(url).searchParams.get("limit"));
    return Promise.resolve(Response.json({ plans: plans.slice(0, limit), cursor: limit < plans.length ? "c" : null }));
  };
  const client = new ScriptedHub().client({ environment: { fetch: fetching as typeof fetch } });
  clients.push(client);
  const { result } = renderHook(() => usePlanList({ label: "travel", limit: 1 }, { refreshMs: 20 }), {
    wrapper: ({ children }) => (
      <StrictMode>
        <PlancastProvider client={client}>{children}</PlancastProvider>
      </StrictMode>
    ),
  });
  expect(result.current).toMatchObject({ plans: [], loading: true });
  await waitFor(() =>
    expect(result.current).toMatchObject({ plans: [{ plan_id: "a" }], hasMore: true, loading: false }),
  );
  act(() => result.current.loadMore());
  await waitFor(() => expect(result.current.plans).toHaveLength(2));
  const [first, second] = result.current.plans;
  plans = [summary("a"), summary("b", 2)];
  await waitFor(() => expect(result.current.plans[1]).not.toBe(second));
  expect(result.current.plans[0]).toBe(first);
  expect(asked.every((url) => url.startsWith("http://hub.test/api/plans?label=travel&limit="))).toBe(true);
});

test("a provider creates one client per url, and calls the latest fetchToken", async () => {
  const seen = new Set<Client>();
  const tokens: string[] = [];
  const Seer = () => {
    seen.add(useClient());
    return usePlan("p").phase;
  };
  vi.stubGlobal("WebSocket", undefined);
  const App = () => {
    const [count, setCount] = useState(1);
    const fetchToken = () => {
      tokens.push(`token ${count}`);
      return Promise.reject(new Error("not signed in"));
    };
    return (
      <PlancastProvider url="http://hub.test" fetchToken={fetchToken}>
        <button onClick={() => setCount(count + 1)}>next</button>
        <Seer />
      </PlancastProvider>
    );
  };
  render(<App />);
  await waitFor(() => expect(tokens).toEqual(["token 1"]));
  act(() => screen.getByText("next").click());
  const [client] = seen;
  act(() => client?.retry());
  await waitFor(() => expect(tokens).toEqual(["token 1", "token 2"]));
  expect(seen.size).toBe(1);
  clients.push(...seen);
  vi.unstubAllGlobals();
});

test("on a server, nothing connects", () => {
  const { hub, client } = page();
  const Shown = () => `${usePlan("p").phase} ${useConnection().status} ${String(usePlanList().loading)}`;
  const html = renderToString(
    <PlancastProvider client={client}>
      <Shown />
    </PlancastProvider>,
  );
  expect(html).toBe("waiting idle true");
  expect(hub.sockets).toHaveLength(0);
});

test("on a server, no url is needed", () => {
  vi.stubGlobal("location", undefined);
  const Shown = () => usePlan("p").phase;
  const html = renderToString(
    <PlancastProvider>
      <Shown />
    </PlancastProvider>,
  );
  vi.unstubAllGlobals();
  expect(html).toBe("waiting");
});

test("a list at its maximum length has no more to load", async () => {
  const { client, within } = page();
  const asked = vi.spyOn(client, "plans").mockResolvedValue({ plans: [], cursor: "more" });
  const { result } = renderHook(() => usePlanList({ limit: 300 }), { wrapper: within });
  await waitFor(() => expect(result.current.hasMore).toBe(true));
  act(() => result.current.loadMore());
  await waitFor(() => expect(result.current).toMatchObject({ loading: false, hasMore: false }));
  expect(asked.mock.lastCall).toMatchObject([{ limit: 500 }]);
});

test("a hook outside of a provider throws", () => {
  vi.spyOn(console, "error").mockReturnValue();
  expect(() => renderHook(() => usePlan("p"))).toThrow("<PlancastProvider>");
});
