"""Neighbouring events of one plan, encoded once for everybody who is to have them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from broadcasters.events import PlanEvent
from broadcasters.position import Position
from hub.wire.event_stream import EventStream
from hub.wire.frames import event_of
from hub.wire.framing import text_frames

__all__ = ["Burst"]


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
