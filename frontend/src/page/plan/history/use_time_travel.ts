/** Time travel: the position that is shown, and playback. */
import { useCallback, useEffect, useMemo, useState, useSyncExternalStore } from "react";
import type { Place, Snapshot } from "../../../client/index.js";
import { useClient } from "../../../react/index.js";
import { HistoryReader, type HistoryView } from "./history_reader.js";
import { playedBy, schedule, type Speed } from "./playback.js";

export interface TimeTravel extends HistoryView {
  /** The offset that is shown; null: now. */
  readonly offset: number | null;
  /** The snapshot at that offset, or the nearest one known yet. */
  readonly snapshot: Snapshot | null;
  readonly goTo: (offset: number | null) => void;
  readonly playing: boolean;
  readonly speed: Speed;
  readonly setSpeed: (speed: Speed) => void;
  readonly play: () => void;
  readonly pause: () => void;
}

/** `place`: the plan's current position; `linked`: the position in a link. */
export function useTimeTravel(planId: string, place: Place | null, linked: Place | null): TimeTravel {
  const client = useClient();
  const { epoch, offset: head = 0 } = place ?? {};
  const archive = useMemo(() => new HistoryReader(client, planId, linked, epoch), [client, planId, linked, epoch]);
  const view = useSyncExternalStore(archive.subscribe, archive.getSnapshot, archive.getSnapshot);
  const [chosen, setOffset] = useState<number | null>(linked?.offset ?? null);
  const [playing, setPlaying] = useState(false);
  const [speed, setSpeed] = useState<Speed>(4);
  const [last, setLast] = useState(epoch);
  if (last !== epoch) {
    setLast(epoch);
    if (last !== undefined) setOffset(null); // the offset belonged to another epoch
  }
  const { past, end } = view;
  // A link to a position that is no longer available shows the current state.
  const offset = view.error?.code === "continuity_lost" ? null : chosen;
  const isLooking = offset !== null || playing;
  useEffect(() => {
    if (isLooking && epoch !== undefined) archive.want(Math.max(head, offset ?? 0));
  }, [archive, isLooking, epoch, head, offset]);
  const goTo = useCallback((to: number | null) => {
    setPlaying(false);
    setOffset(to);
  }, []);
  const play = useCallback(() => {
    setOffset((now) => (now === null || now >= head ? past.start : now));
    setPlaying(true);
  }, [head, past]);
  const pause = useCallback(() => setPlaying(false), []);
  const finish = useCallback(() => goTo(null), [goTo]);
  usePlaying(view, playing, speed, offset, setOffset, finish);
  // `end` is a dependency because `past` is mutated as it grows.
  const snapshot = useMemo(() => (offset === null || end === 0 ? null : past.at(offset)), [past, end, offset]);
  return { ...view, offset, snapshot, goTo, playing, speed, setSpeed, play, pause };
}

const TICK_MS = 50;

/** Plays the known events at their original pace, times the speed; at the end of the history it returns to now. */
function usePlaying(
  { past, end, loading }: HistoryView,
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
