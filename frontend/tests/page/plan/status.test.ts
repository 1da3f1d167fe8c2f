import { webDarkTheme, webLightTheme } from "@fluentui/react-components";
import { expect, test } from "vitest";
import { activities } from "../../../src/page/plan/agents/activity.js";
import { PlancastError } from "../../../src/client/index.js";
import { agentColour, agentColours } from "../../../src/page/plan/agents/colour.js";
import { shortcutOf, takesKeys } from "../../../src/page/plan/shortcuts.js";
import { connectionLabel, LIVE_TEXT } from "../../../src/page/plan/status/connection.js";
import { between, duration } from "../../../src/page/plan/status/durations.js";
import {
  announcement,
  acknowledgedSignal,
  planProgress,
  planStatusLabel,
  stepStatusLabel,
} from "../../../src/page/plan/status/labels.js";
import { statusText } from "../../../src/page/plan/status/plan_header.js";
import { AT, later, message, plan, step, tool } from "./plans.js";

test("the connection tag", () => {
  const text = (...state: Parameters<typeof connectionLabel>) => connectionLabel(...state).text;
  expect(text({ status: "live", transport: "websocket" }, "live", 0)).toBe(LIVE_TEXT);
  expect(LIVE_TEXT).toBe("Real-time updates active");
  expect(text({ status: "live", transport: "sse" }, "catching_up", 0)).toBe("Catching up…");
  expect(text({ status: "polling", transport: "polling" }, "live", 0)).toBe("Polling");
  const reconnecting = { status: "reconnecting", attempt: 2, inMs: 9, retryAt: 5_400, reason: "gone" } as const;
  expect(text(reconnecting, "waiting", 1_000)).toBe("Reconnecting in 5 s");
  expect(text(reconnecting, "waiting", 6_000)).toBe("Reconnecting…");
  expect(text({ status: "offline", attempt: 1, inMs: 1, retryAt: 1, reason: "no network" }, "waiting", 0)).toBe(
    "Offline",
  );
  expect(text({ status: "refused", code: 4503, reason: "no right" }, "refused", 0)).toBe("Refused: no right");
});

test("the tag shows an expired sign-in, and a plan that is not available", () => {
  const tag = (code: string, phase: "waiting" | "live") =>
    connectionLabel({ status: "live", transport: "websocket" }, phase, 0, new PlancastError(code, "too many plans"));
  expect(tag("token_expired", "waiting")).toMatchObject({ tone: "warning", text: "Sign-in expired" });
  expect(tag("unavailable", "waiting")).toMatchObject({ text: "Not up to date", detail: "too many plans" });
  expect(tag("unavailable", "live").text).toBe(LIVE_TEXT);
});

test("short durations", () => {
  expect([40, 1_200, 59_600, 185_000, 7_800_000, 90_000_000].map(duration)).toEqual([
    "0.0 s",
    "1 s",
    "1 min",
    "3 min 5 s",
    "2 h 10 min",
    "1 d 1 h",
  ]);
  expect(between(AT, later(3))).toBe(3_000);
  expect(between(later(3), AT)).toBe(0);
  expect(between(undefined, 1)).toBeUndefined();
});

test("progress is the plan's own value, or the share of finished steps", () => {
  expect(planProgress(plan({ progress: 12 }))).toBe(12);
  expect(planProgress(plan({ steps: [step("a", { status: "completed" }), step("b")] }))).toBe(50);
  expect(planProgress(plan())).toBeUndefined();
  expect(announcement(plan({ title: "T", progress: 61 }))).toBe("T: In progress, 50 %");
  expect(announcement(plan({ title: "T", progress: 74 }))).toBe(announcement(plan({ title: "T", progress: 50 })));
});

test("acknowledged signals and open questions show in the status", () => {
  const paused = plan({ status: "waiting", data: { signal: "pause", state: "acknowledged" } });
  expect([acknowledgedSignal(paused), statusText(paused)]).toEqual(["pause", "Paused"]);
  expect(statusText(plan({ data: { signal: "cancel", state: "acknowledged" } }))).toBe("Stopping…");
  const asked = { request_id: "q", offset: 1, at: AT, kind: "approval", prompt: "?" } as const;
  expect(statusText(plan({ status: "waiting", inputs: [asked] }))).toBe("Waiting for you");
  expect(statusText(plan({ status: "waiting", inputs: [{ ...asked, answered_at: AT }] }))).toBe("Waiting");
});

test("agents at work are thinking, acting or working; none are once the plan has ended", () => {
  const busy = plan({
    steps: [
      step("s", { agent_name: "Bob", status: "in_progress" }),
      step("t", { agent_name: "Cy", status: "completed" }),
    ],
    messages: [message(1, "hm", { agent_name: "Cy", step_id: "t" }), message(2, "I look", { agent_name: "Ann" })],
    tool_calls: [tool(3, { agent_name: "Dee", phase: "started" })],
  });
  expect(activities(busy)).toEqual([
    { agent: "Ann", doing: "thinking" },
    { agent: "Bob", doing: "working" },
    { agent: "Dee", doing: "acting" },
  ]);
  expect(activities({ ...busy, status: "completed" })).toEqual([]);
});

test("no agent is at work on a paused plan, and the sender of a signal never is", () => {
  const steers = message(2, "Please pause this plan", {
    agent_name: "maria",
    message_type: "action",
    data: { signal: "pause", state: "requested", by: "maria" },
  });
  const steps = [step("s", { agent_name: "Bob", status: "in_progress" })];
  const busy = plan({ steps, messages: [steers] });
  expect(activities(busy)).toEqual([{ agent: "Bob", doing: "working" }]);
  expect(activities({ ...busy, status: "waiting", data: { signal: "pause", state: "acknowledged" } })).toEqual([]);
});

test("statuses of a newer hub are shown by their names", () => {
  expect([planStatusLabel("waiting"), planStatusLabel("on_hold" as "waiting")]).toEqual(["Waiting", "On hold"]);
  expect([stepStatusLabel("pending"), stepStatusLabel("handed_over" as "pending")]).toEqual(["To do", "Handed over"]);
});

function luminance(hex: string): number {
  const part = (at: number) => {
    const value = parseInt(hex.slice(at, at + 2), 16) / 255;
    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  };
  return 0.2126 * part(1) + 0.7152 * part(3) + 0.0722 * part(5);
}

function contrast(one: string, other: string): number {
  const [low = 0, high = 0] = [luminance(one), luminance(other)].sort((a, b) => a - b);
  return (high + 0.05) / (low + 0.05);
}

test("each name has a colour that is readable on every background of both themes", () => {
  expect(agentColour("Data Analyst")).toBe(agentColour("Data Analyst"));
  expect(agentColour("Data Analyst")).not.toBe(agentColour("Business Advisor"));
  const grounds = ["colorNeutralBackground1", "colorNeutralBackground2", "colorNeutralBackground3"] as const;
  for (const { light, dark } of agentColours) {
    for (const ground of grounds) {
      expect(contrast(light, webLightTheme[ground])).toBeGreaterThan(4.5);
      expect(contrast(dark, webDarkTheme[ground])).toBeGreaterThan(4.5);
    }
  }
  expect(new Set(["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"].map(agentColour)).size).toBeGreaterThan(4);
});

test("shortcuts are single keys, and inactive while text is being typed", () => {
  const key = (pressed: string, more = {}) =>
    shortcutOf({ key: pressed, ctrlKey: false, metaKey: false, altKey: false, defaultPrevented: false, ...more });
  expect([key("p"), key("?"), key("x"), key("c", { ctrlKey: true })]).toEqual(["play", "help", null, null]);
  expect(takesKeys(document.createElement("textarea"))).toBe(true);
  expect(takesKeys(document.createElement("p"))).toBe(false);
});
