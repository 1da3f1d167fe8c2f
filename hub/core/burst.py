"""Neighbouring events of one plan, encoded once for all subscribers: the newest to hand out, and a ring of older ones."""

from __future__ import annotations

import sys
from collections.abc import Hashable, Sequence
from functools import cached_property
from typing import Any

from broadcasters.position import Position
from hub.config.limits import ChannelLimits
from hub.wire.frames import EventStream, FrameEvent, event_frame, event_of, event_prefix, text_frames

__all__ = ["Burst", "RecentFrames", "Ring"]


class Burst:
    """Frames of the offsets `first` to `last` of a plan; the bytes for each transport are made at most once."""

    def __init__(self, frames: Sequence[bytes], first: int, last: int) -> None:
        self.frames = frames
        self.first = first
        self.last = last
        self.size = sum(map(len, frames))

    @cached_property
    def websocket(self) -> bytes:
        """The frames as WebSocket text messages, one after another."""
        return text_frames(self.frames)

    @cached_property
    def texts(self) -> Sequence[str]:
        """The frames as strings, for servers that take text."""
        return [frame.decode() for frame in self.frames]

    @cached_property
    def event_stream(self) -> EventStream:
        """The frames as messages of an event stream."""
        return EventStream(self.frames)

    @cached_property
    def events(self) -> Sequence[FrameEvent]:
        """The events in the frames."""
        return [event_of(frame) for frame in self.frames]

    @cached_property
    def derived(self) -> dict[Hashable, Any]:
        """What readers made of the events, for others that need the same."""
        return {}


class RecentFrames:
    """The newest frames of one plan: those that were not handed out yet, and a ring that holds older ones as well."""

    def __init__(self, plan_id: str, limits: ChannelLimits) -> None:
        self._plan_id = plan_id
        self._limits = limits
        self.restart(Position("", 0))

    def restart(self, head: Position) -> None:
        """Continue after `head`, without any frame from before it."""
        self.handed = head.offset
        """The last offset that was handed out."""
        self.fresh: list[bytes] = []
        """The frames in the ring that were not handed out yet."""
        self.ring = Ring(head.offset, self._limits.ring_bytes, self._limits.ring_events)
        self._prefix = event_prefix(self._plan_id, head.epoch)
        self._last = Burst((), 0, 0)

    def take(self, payloads: Sequence[bytes]) -> bool:
        """Encode the next events. Returns whether nothing waited to be handed out before."""
        prefix, first = self._prefix, self.handed + len(self.fresh) + 1
        frames = [event_frame(prefix, offset, payload) for offset, payload in enumerate(payloads, first)]
        self.ring.extend(frames)
        waited = bool(self.fresh)
        self.fresh += frames
        return not waited

    def hand_out(self) -> Burst | None:
        """The frames that wait to be handed out, which are handed out with this; None when there are none."""
        if not self.fresh:
            return None
        burst = Burst(self.fresh, self.handed + 1, self.handed + len(self.fresh))
        self.fresh, self.handed = [], burst.last
        return burst

    def after(self, offset: int) -> Burst | None:
        """About `burst_bytes` of what was handed out after `offset`; None when the ring no longer holds it."""
        if self._last.first != offset + 1:
            if (burst := self._burst(offset, self._limits.burst_bytes)) is None:
                return None
            self._last = burst
        return self._last

    def all_after(self, offset: int) -> Burst | None:
        """Everything that was handed out after `offset`, which may be nothing; None when the ring no longer holds it."""
        return self._burst(offset, sys.maxsize)

    def _burst(self, offset: int, max_bytes: int) -> Burst | None:
        frames = self.ring.after(offset, self.handed, max_bytes)
        return None if frames is None else Burst(frames, offset + 1, offset + len(frames))


class Ring:
    """The newest frames within bounds, of the offsets `first` to `last`; `last == first - 1` when it is empty."""

    __slots__ = ("_frames", "_max_bytes", "_max_frames", "first", "size")

    def __init__(self, after: int, max_bytes: int, max_frames: int) -> None:
        self._frames: list[bytes] = []
        self._max_bytes = max_bytes
        self._max_frames = max_frames
        self.first = after + 1
        self.size = 0

    @property
    def last(self) -> int:
        return self.first + len(self._frames) - 1

    def extend(self, frames: Sequence[bytes]) -> None:
        """Add the frames that come next."""
        self._frames.extend(frames)
        self.size += sum(map(len, frames))
        if self.size > self._max_bytes or len(self._frames) > self._max_frames:
            self._shrink()

    def after(self, offset: int, upto: int, max_bytes: int) -> Sequence[bytes] | None:
        """The frames after `offset` up to `upto`: about `max_bytes` of them, and at least one; None when the first of
        them is no longer held. `upto` must be neither less than `offset` nor greater than `last`."""
        start = offset + 1 - self.first
        if start < 0:
            return None
        frames: list[bytes] = []
        size = 0
        for frame in self._frames[start : upto + 1 - self.first]:
            frames.append(frame)
            size += len(frame)
            if size >= max_bytes:
                break
        return frames

    def _shrink(self) -> None:
        # Drops a quarter more than necessary, so that a full ring is not cut again for every event.
        drop = max(0, len(self._frames) - self._max_frames * 3 // 4)
        size = self.size - sum(map(len, self._frames[:drop]))
        while size > self._max_bytes * 3 // 4:
            size -= len(self._frames[drop])
            drop += 1
        del self._frames[:drop]
        self.first += drop
        self.size = size
