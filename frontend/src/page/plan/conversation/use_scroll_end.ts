import { useCallback, useEffect, useLayoutEffect, useRef, useState } from "react";

export interface ScrollEnd {
  readonly follows: boolean;
  /** For the scroller's onScroll. */
  readonly scrolled: () => void;
  readonly jump: () => void;
  /** Stops following, to scroll elsewhere. */
  readonly leave: () => void;
}

/** Keeps a scroller at its end as its content grows (a change of `size`), until the reader scrolls up. */
export function useScrollEnd(scroller: HTMLElement | null, size: number): ScrollEnd {
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

/** Scrolls past the end, since reading the real height would force a layout. */
function toEnd(scroller: HTMLElement): void {
  scroller.scrollTo({ top: 2 ** 30, behavior: "instant" });
}

export interface Scrolled {
  readonly top: number;
  readonly height: number;
  readonly seen: number;
}

/** The distance in pixels that still counts as the end. */
const NEAR = 48;

export function isAtEnd({ top, height, seen }: Scrolled): boolean {
  return height - top - seen <= NEAR;
}

/** Whether the view follows the end after a scroll event: reaching the end starts it, scrolling up stops it. */
export function followsAfter(follows: boolean, before: number, now: Scrolled): boolean {
  if (isAtEnd(now)) return true;
  return follows && now.top >= before - 1;
}
