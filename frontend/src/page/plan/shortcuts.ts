/** Keyboard shortcuts of the plan's page, active while no text is being typed. */
import { useCallback, useEffect, useEffectEvent, useState } from "react";

export type Shortcut = "play" | "back" | "forward" | "live" | "conversation" | "results" | "steps" | "help";

export const SHORTCUTS: readonly { readonly keys: string; readonly shortcut: Shortcut; readonly label: string }[] = [
  { keys: "p", shortcut: "play", label: "Play back, or pause" },
  { keys: ",", shortcut: "back", label: "One event back" },
  { keys: ".", shortcut: "forward", label: "One event forward" },
  { keys: "l", shortcut: "live", label: "Back to now" },
  { keys: "c", shortcut: "conversation", label: "Conversation" },
  { keys: "r", shortcut: "results", label: "Results" },
  { keys: "s", shortcut: "steps", label: "Steps" },
  { keys: "?", shortcut: "help", label: "Show this list" },
];

interface Pressed {
  readonly key: string;
  readonly ctrlKey: boolean;
  readonly metaKey: boolean;
  readonly altKey: boolean;
  readonly defaultPrevented: boolean;
}

export function shortcutOf({ key, ctrlKey, metaKey, altKey, defaultPrevented }: Pressed): Shortcut | null {
  if (ctrlKey || metaKey || altKey || defaultPrevented) return null;
  return SHORTCUTS.find(({ keys }) => keys === key)?.shortcut ?? null;
}

/** Whether the element uses keys itself, as text input or selection. */
export function takesKeys(target: EventTarget | null): boolean {
  return (
    target instanceof Element &&
    target.closest("input:not([type=range]), textarea, select, [contenteditable], [role=dialog]") !== null
  );
}

const KEY = "plancast.shortcuts";

/** Calls back with each shortcut. Returns whether they are enabled, and a setter; the setting is kept in this browser. */
export function useShortcuts(on: (shortcut: Shortcut) => void): readonly [boolean, (enabled: boolean) => void] {
  const [enabled, setEnabled] = useState(isEnabled);
  const press = useEffectEvent((event: KeyboardEvent) => {
    const shortcut = takesKeys(event.target) ? null : shortcutOf(event);
    if (!shortcut) return;
    event.preventDefault();
    on(shortcut);
  });
  useEffect(() => {
    if (!enabled) return;
    const listener = (event: KeyboardEvent) => press(event);
    window.addEventListener("keydown", listener);
    return () => window.removeEventListener("keydown", listener);
  }, [enabled]);
  const choose = useCallback((wanted: boolean) => {
    setEnabled(wanted);
    try {
      localStorage.setItem(KEY, wanted ? "on" : "off");
    } catch {
      // storage is blocked: it applies until the page is left
    }
  }, []);
  return [enabled, choose];
}

function isEnabled(): boolean {
  try {
    return localStorage.getItem(KEY) !== "off";
  } catch {
    return true;
  }
}
