import { useEffect, useState } from "react";

/** The current time, updated every `everyMs` while `enabled`. */
export function useNow(everyMs: number, enabled = true): number {
  const [now, setNow] = useState(() => Date.now());
  useEffect(() => {
    if (!enabled) return;
    const tick = () => setNow(Date.now());
    tick();
    const timer = setInterval(tick, everyMs);
    return () => clearInterval(timer);
  }, [everyMs, enabled]);
  return now;
}

/** A rough relative time: "just now", "5 min ago". */
export function ago(at: string, now: number): string {
  const seconds = (now - Date.parse(at)) / 1_000;
  for (const [size, unit] of UNITS) if (seconds >= size) return `${Math.floor(seconds / size)} ${unit} ago`;
  return "just now";
}

const UNITS = [
  [86_400, "d"],
  [3_600, "h"],
  [60, "min"],
] as const;
