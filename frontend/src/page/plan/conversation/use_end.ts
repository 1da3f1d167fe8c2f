import { useCallback, useEffect, useLayoutEffect, useRef, useState } from "react";
import { followsAfter } from "./following.js";

export interface End {
  readonly follows: boolean;
  /** For the scroller's onScroll. */
  readonly scrolled: () => void;
  readonly jump: () => void;
  /** Lets go, to look at something else. */
  readonly leave: () => void;
}

/** Keeps a scroller at its end as what is in it grows (`size` says that it has), until the reader scrolls up. */
export function useEnd(scroller: HTMLElement | null, size: number): End {
  const [follows, setFollows] = useState(true);
  const last = useRef(0);
  useLayoutEffect(() => {
    if (follows && scroller) toEnd(scroller);
  }, [follows, size, scroller]);
  useEffect(() => {
    if (!scroller || !follows || typeof ResizeObserver === "undefined") return;
    const observer = new ResizeObserver(() => toEnd(scroller));
    observer.observe(scroller);
    return () => observer.disconnect();
  }, [scroller, follows]);
  const scrolled = useCallback(() => {
    if (!scroller) return;
    const { scrollTop: top, scrollHeight: height, clientHeight: seen } = scroller;
    const before = last.current;
    last.current = top;
    setFollows((now) => followsAfter(now, before, { top, height, seen }));
  }, [scroller]);
  const jump = useCallback(() => {
    setFollows(true);
    if (scroller) toEnd(scroller);
  }, [scroller]);
  const leave = useCallback(() => setFollows(false), []);
  return { follows, scrolled, jump, leave };
}

/** As far as it goes, without asking how far that is: asking would lay out the page. */
function toEnd(scroller: HTMLElement): void {
  scroller.scrollTo({ top: 2 ** 30, behavior: "instant" });
}
