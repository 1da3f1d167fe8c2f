import { useCallback, useEffect, useEffectEvent, useState } from "react";
import { type Shortcut, shortcutOf, takesKeys } from "./shortcuts.js";

const KEY = "plancast.shortcuts";

/** Calls back with each shortcut; whether they are used at all is kept in this browser. */
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
      // then it is so until the page is left
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
