import { cleanup, render, screen } from "@testing-library/react";
import { afterEach, expect, test, vi } from "vitest";
import { App } from "readme:example.tsx";
import { planUpdate, ScriptedHub } from "../scripted_hub.js";

afterEach(() => {
  cleanup();
  vi.unstubAllGlobals();
});

test("the README's example shows a live plan", async () => {
  const hub = new ScriptedHub();
  vi.stubGlobal("WebSocket", hub.Socket);
  hub.publish("plan-1", planUpdate({ title: "Trip to Rome" }));
  render(<App />);
  expect(await screen.findByText("Trip to Rome: in_progress · live")).toBeDefined();
  expect(hub.sockets).toHaveLength(1);
});
