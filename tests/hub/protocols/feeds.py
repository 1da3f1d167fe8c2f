"""Logs as a hub hands them to the reader of a segment: in bursts cut anywhere, merged, or as a snapshot."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hypothesis import strategies as st

from broadcasters.events import PlanEvent
from broadcasters.fold import fold
from broadcasters.position import Position
from broadcasters.snapshot import Snapshot, empty, encode
from hub.core.burst import Burst
from hub.core.composer import merge
from hub.protocols.segments import Encoder, SegmentReader
from hub.wire.frames import event_frame, event_prefix, merged_frame, snapshot_frame

__all__ = ["EPOCH", "burst_of", "every_cut", "folded", "read", "read_in_pieces", "snapshot_of"]

EPOCH = "k3f9"


def folded(events: Sequence[PlanEvent], upto: int | None = None) -> Snapshot:
    """The plan after its first events."""
    return fold(empty(events[0].plan_id), 1, events[:upto])


def burst_of(events: Sequence[PlanEvent], first: int, last: int, *, merged: bool = False) -> Burst:
    """The events of these offsets; merged, as a client that is far behind receives them."""
    payloads = [event.payload(f"a1-{offset}") for offset, event in enumerate(events[first - 1 : last], first)]
    prefix = event_prefix(events[0].plan_id, EPOCH)
    if merged:
        frames = [merged_frame(prefix, *part) for part in merge(first, payloads)]
    else:
        frames = [event_frame(prefix, offset, payload) for offset, payload in enumerate(payloads, first)]
    return Burst(frames, first, last)


def snapshot_of(events: Sequence[PlanEvent], upto: int) -> bytes:
    """The frame of the snapshot up to this offset."""
    return snapshot_frame(events[0].plan_id, Position(EPOCH, upto), encode(folded(events, upto)))


def read(encoder: Encoder, events: Sequence[PlanEvent], after: int | None = 0, head: int | None = None) -> bytes:
    """What a client receives of a whole log, one event at a time. With `after` None it begins with a snapshot."""
    reader = SegmentReader(events[0].plan_id, encoder, after)
    head = len(events) if head is None else head
    if after is None:
        received = reader.confirmed(Position(EPOCH, head), head, None) + reader.take_snapshot(snapshot_of(events, head))
        begin = head
    else:
        received, begin = reader.confirmed(Position(EPOCH, 0), head, None), 0
    for offset in range(begin + 1, len(events) + 1):
        received += reader.take(burst_of(events, offset, offset))
    return received


def read_in_pieces(
    reader: SegmentReader, events: Sequence[PlanEvent], draw: Callable[[st.SearchStrategy[int]], int], after: int = 0
) -> bytes:
    """The same, cut anywhere: single bursts, merged ones, and snapshots in place of events. `draw` chooses. The
    subscription begins after an offset."""
    head = draw(st.integers(after, len(events)))
    received, at = reader.confirmed(Position(EPOCH, after), head, None), after
    while at < len(events) and not reader.over:
        upto = draw(st.integers(at + 1, len(events)))
        kind = draw(st.integers(0, 3))
        if kind == 3:
            received += reader.take_snapshot(snapshot_of(events, upto))
        else:
            received += reader.take(burst_of(events, at + 1, upto, merged=kind == 2))
        at = upto
    return received


def every_cut(events: Sequence[PlanEvent]) -> Sequence[int]:
    """The offsets at which a client may have left."""
    return range(len(events) + 1)
