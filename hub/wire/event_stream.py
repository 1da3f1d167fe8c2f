"""Frames as messages of an event stream (HTML, server-sent events): made once for all who watch, without parsing.

An event's frame begins with its type, plan, epoch and offset, all of them plain, so the place of each is cut out of it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import cached_property
from typing import Any, Final

from broadcasters.events import PLAN_ENDED

__all__ = ["EventStream", "data_field", "message", "place_of", "snapshot_is_over"]

_place: Final = re.compile(rb'\{"type":"[a-z_]+","plan_id":"([^"]+)","epoch":"([^"]*)","offset":([0-9]+)[,}]')
_status: Final = re.compile(rb'"data":\{"version":[0-9]+,"plan_id":"[^"]+","offset":[0-9]+,"status":"([a-z_]+)"')
_line_end: Final = re.compile(rb"\r\n|\r|\n")


def place_of(frame: bytes) -> tuple[str, bytes, int]:
    """Plan, place (`epoch:offset`) and offset of an event's or a snapshot's frame."""
    found = _place.match(frame)
    if found is None:
        raise ValueError("not the frame of an event or a snapshot")
    return found[1].decode(), b"%b:%b" % (found[2], found[3]), int(found[3])


def data_field(frame: bytes) -> bytes:
    """The message's data and its end. Frames are one line; should one not be, it stays one message."""
    if b"\n" in frame or b"\r" in frame:
        return b"".join(b"data: %b\n" % line for line in _line_end.split(frame)) + b"\n"
    return b"data: %b\n\n" % frame


def message(name: str, said: dict[str, Any]) -> bytes:
    """A message with a name."""
    return b"event: %b\ndata: %b\n\n" % (name.encode(), json.dumps(said, separators=(",", ":")).encode())


def snapshot_is_over(frame: bytes) -> bool:
    """Is this the snapshot of a plan that has ended?"""
    found = _status.search(frame, 0, 1024)
    return found is not None and found[1].decode() in PLAN_ENDED


class EventStream:
    """The frames of a burst, all of one plan, as messages."""

    def __init__(self, frames: Sequence[bytes]) -> None:
        self._frames = frames
        self.plan_id, self.place, self.offset = place_of(frames[-1])
        """Whose they are, and the place after the last of them."""

    @cached_property
    def messages(self) -> bytes:
        """All of them, each with its place: what a stream of this plan alone sends."""
        return b"".join(b"id: %b\n%b" % part for part in self.parts)

    @cached_property
    def parts(self) -> Sequence[tuple[bytes, bytes]]:
        """Place and data of each: what a stream of several plans sends, with ids of its own."""
        return [(place_of(frame)[1], data_field(frame)) for frame in self._frames]

    @cached_property
    def over(self) -> bool | None:
        """Do they end the plan, or take it up again? None: they say nothing of that."""
        over: bool | None = None
        for frame in self._frames:
            if frame.startswith(b'{"type":"plan_update"'):
                data = json.loads(frame)["data"]
                if "step_id" not in data:
                    over = data.get("status", "in_progress") in PLAN_ENDED
        return over
