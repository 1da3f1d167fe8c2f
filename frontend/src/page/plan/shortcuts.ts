/** What keys do on the plan's page, while nothing is being typed. Pure. */

export type Shortcut = "play" | "back" | "forward" | "live" | "conversation" | "results" | "steps" | "help";

export const SHORTCUTS: readonly { readonly keys: string; readonly shortcut: Shortcut; readonly words: string }[] = [
  { keys: "p", shortcut: "play", words: "Play the plan back, or pause" },
  { keys: ",", shortcut: "back", words: "One event back" },
  { keys: ".", shortcut: "forward", words: "One event on" },
  { keys: "l", shortcut: "live", words: "Back to now" },
  { keys: "c", shortcut: "conversation", words: "Conversation" },
  { keys: "r", shortcut: "results", words: "Results" },
  { keys: "s", shortcut: "steps", words: "Steps" },
  { keys: "?", shortcut: "help", words: "This list" },
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

/** Is this a place where keys are text, or choose something? */
export function takesKeys(target: EventTarget | null): boolean {
  return (
    target instanceof Element &&
    target.closest("input:not([type=range]), textarea, select, [contenteditable], [role=dialog]") !== null
  );
}
