import { type RefObject, useEffect, useState } from "react";

/** Whether an element is narrower than so many pixels. */
export function useIsNarrow(element: RefObject<HTMLElement | null>, below: number): boolean {
  const [narrow, setNarrow] = useState(false);
  useEffect(() => {
    const watched = element.current;
    if (!watched || typeof ResizeObserver === "undefined") return;
    const observer = new ResizeObserver(([entry]) => {
      if (entry && entry.contentRect.width > 0) setNarrow(entry.contentRect.width < below);
    });
    observer.observe(watched);
    return () => observer.disconnect();
  }, [element, below]);
  return narrow;
}
