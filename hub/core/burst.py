"""Neighbouring events of one plan, encoded once for everybody who is to have them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from broadcasters.events import PlanEvent
from broadcasters.position import Position
from hub.wire.frames import EventStream, event_of, text_frames

__all__ = ["Burst", "Ring"]


class Burst:
    """Frames that stand for the offsets `first` to `last` of a plan; each transport's bytes are made at most once."""

    def __init__(self, frames: Sequence[bytes], first: int, last: int) -> None:
        self.frames = frames
        self.first = first
        self.last = last
        self.size = sum(map(len, frames))

    @cached_property
    def websocket(self) -> bytes:
        """The frames as WebSocket text messages, one behind the other."""
        return text_frames(self.frames)

    @cached_property
    def texts(self) -> Sequence[str]:
        """The frames as strings, for servers that want them so."""
        return [frame.decode() for frame in self.frames]

    @cached_property
    def event_stream(self) -> EventStream:
        """The frames as messages of an event stream."""
        return EventStream(self.frames)

    @cached_property
    def events(self) -> Sequence[tuple[Position, PlanEvent]]:
        """The frames as events, each with its place; without those that this hub can't read."""
        return [event for event in map(event_of, self.frames) if event is not None]


class Ring:
    """Frames of the offsets `first` to `last`; `last == first - 1` when there is none."""

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
        """These come next."""
        self._frames.extend(frames)
        self.size += sum(map(len, frames))
        if self.size > self._max_bytes or len(self._frames) > self._max_frames:
            self._shrink()

    def after(self, offset: int, upto: int, max_bytes: int) -> Sequence[bytes] | None:
        """What follows `offset` up to `upto`, about `max_bytes` of it and at least one; None when it fell out.

        `upto` is neither before `offset` nor after `last`."""
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
        # A quarter more than must go does, so that a full ring is not cut anew for every event.
        drop = max(0, len(self._frames) - self._max_frames * 3 // 4)
        size = self.size - sum(map(len, self._frames[:drop]))
        while size > self._max_bytes * 3 // 4:
            size -= len(self._frames[drop])
            drop += 1
        del self._frames[:drop]
        self.first += drop
        self.size = size
