/** The colour scheme: the system's, or the user's choice, which is kept in this browser. */
import { useSyncExternalStore } from "react";

export type Preference = "system" | "light" | "dark";

const KEY = "plancast.theme";
const CHANGED = "plancast:theme";

export function readPreference(): Preference {
  try {
    const kept = localStorage.getItem(KEY);
    return kept === "light" || kept === "dark" ? kept : "system";
  } catch {
    return "system"; // storage is blocked
  }
}

export function choosePreference(preference: Preference): void {
  try {
    if (preference === "system") localStorage.removeItem(KEY);
    else localStorage.setItem(KEY, preference);
  } catch {
    // storage is blocked: the system's scheme stays in use
  }
  dispatchEvent(new CustomEvent(CHANGED));
}

export function usePreference(): Preference {
  return useSyncExternalStore((listener) => listening([window], [CHANGED, "storage"], listener), readPreference);
}

export function useIsDark(): boolean {
  const preference = usePreference();
  const systemIsDark = useMedia("(prefers-color-scheme: dark)");
  return preference === "system" ? systemIsDark : preference === "dark";
}

/** Whether a media query holds now. */
export function useMedia(query: string): boolean {
  return useSyncExternalStore(
    (listener) => listening([matchMedia(query)], ["change"], listener),
    () => matchMedia(query).matches,
  );
}

function listening(targets: readonly EventTarget[], types: readonly string[], listener: () => void): () => void {
  for (const target of targets) for (const type of types) target.addEventListener(type, listener);
  return () => {
    for (const target of targets) for (const type of types) target.removeEventListener(type, listener);
  };
}
