/** Looking back: which moment of a plan is shown, and the playing of it. */
import { useCallback, useEffect, useMemo, useState, useSyncExternalStore } from "react";
import type { Place, Snapshot } from "../../../client/index.js";
import { useClient } from "../../../react/index.js";
import { Archive, type ArchiveView } from "./archive.js";
import { playedBy, schedule, type Speed } from "./playback.js";

export interface LookingBack extends ArchiveView {
  /** The moment that is looked at; null: now. */
  readonly offset: number | null;
  /** The plan at that moment, or as near to it as is known yet. */
  readonly snapshot: Snapshot | null;
  readonly lookAt: (offset: number | null) => void;
  readonly playing: boolean;
  readonly speed: Speed;
  readonly setSpeed: (speed: Speed) => void;
  readonly play: () => void;
  readonly pause: () => void;
}

/** `place`: how far the plan is now; `linked`: the moment that a link named. */
export function useLookingBack(planId: string, place: Place | null, linked: Place | null): LookingBack {
  const client = useClient();
  const { epoch, offset: head = 0 } = place ?? {};
  const archive = useMemo(() => new Archive(client, planId, linked, epoch), [client, planId, linked, epoch]);
  const view = useSyncExternalStore(archive.subscribe, archive.getSnapshot, archive.getSnapshot);
  const [chosen, setOffset] = useState<number | null>(linked?.offset ?? null);
  const [playing, setPlaying] = useState(false);
  const [speed, setSpeed] = useState<Speed>(4);
  const [last, setLast] = useState(epoch);
  if (last !== epoch) {
    setLast(epoch);
    if (last !== undefined) setOffset(null); // the moment was one of another history
  }
  const { past, end } = view;
  // A link to a moment that is no longer part of what is kept shows what is now.
  const offset = view.error?.code === "continuity_lost" ? null : chosen;
  const isLooking = offset !== null || playing;
  useEffect(() => {
    if (isLooking && epoch !== undefined) archive.want(Math.max(head, offset ?? 0));
  }, [archive, isLooking, epoch, head, offset]);
  const lookAt = useCallback((to: number | null) => {
    setPlaying(false);
    setOffset(to);
  }, []);
  const play = useCallback(() => {
    setOffset((now) => (now === null || now >= head ? past.start : now));
    setPlaying(true);
  }, [head, past]);
  const pause = useCallback(() => setPlaying(false), []);
  const finish = useCallback(() => lookAt(null), [lookAt]);
  usePlaying(view, playing, speed, offset, setOffset, finish);
  // `end` says that the past, which is the same object, has grown.
  const snapshot = useMemo(() => (offset === null || end === 0 ? null : past.at(offset)), [past, end, offset]);
  return { ...view, offset, snapshot, lookAt, playing, speed, setSpeed, play, pause };
}

const TICK_MS = 50;

/** Moves on, as fast as it was said (times the speed), up to what is known; at its end, when nothing more is to come, it is now. */
function usePlaying(
  { past, end, loading }: ArchiveView,
  playing: boolean,
  speed: Speed,
  offset: number | null,
  move: (offset: number) => void,
  finish: () => void,
): void {
  const due = useMemo(() => schedule(past.moments.slice(0, end - past.start)), [past, end]);
  useEffect(() => {
    if (!playing || offset === null) return;
    if (offset >= end) {
      if (!loading && end > past.start) finish();
      return;
    }
    const next = due[offset - past.start] ?? 0;
    const here = due[offset - past.start - 1] ?? 0;
    const wait = Math.max(TICK_MS, (next - here) / speed);
    const timer = setTimeout(() => move(past.start + playedBy(due, here + wait * speed)), wait);
    return () => clearTimeout(timer);
  }, [past, due, end, loading, playing, speed, offset, move, finish]);
}
