"""Frames of events and snapshots: made from stored bytes, and encoded for each transport, without parsing them.

A frame is its event (see `broadcasters.event_bytes`) with the event's plan and position added after the type:

    {"type":"…","plan_id":"…","epoch":"…","offset":7,"first":5,"id":"…","data":{…}}

`first` is there when the frame stands for several events. A snapshot's frame has no `id`. The members before `data` need
no escapes in JSON: plan ids and epochs are checked where they are made.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any, Final, NamedTuple

from broadcasters.errors import InvalidEvent
from broadcasters.event_bytes import is_type
from broadcasters.events import EVENTS, PLAN_ENDED, PlanEvent, build
from broadcasters.position import Position

__all__ = [
    "EventStream",
    "FrameEvent",
    "data_field",
    "data_of",
    "event_frame",
    "event_line",
    "event_of",
    "event_prefix",
    "is_snapshot",
    "merged_frame",
    "named_message",
    "position_of",
    "snapshot_ended",
    "snapshot_frame",
    "snapshot_line",
    "text_frames",
]

log = logging.getLogger(__name__)

_SNAPSHOT: Final = b'{"type":"snapshot"'
_position: Final = re.compile(rb'\{"type":"[a-z_]+","plan_id":"([^"]+)","epoch":"([^"]*)","offset":([0-9]+)[,}]')
_snapshot_status: Final = re.compile(
    rb'"data":\{"version":[0-9]+,"plan_id":"[^"]+","offset":[0-9]+,"status":"([a-z_]+)"'
)


# -- making frames -----------------------------------------------------------------------------------------------------


def event_prefix(plan_id: str, epoch: str) -> bytes:
    """The part that all event frames of a plan have in common within an epoch."""
    return f',"plan_id":"{plan_id}","epoch":"{epoch}","offset":'.encode()


def event_frame(prefix: bytes, offset: int, payload: bytes) -> bytes:
    """The frame of a stored event. Called once an event, however many subscribers there are."""
    kind, _, rest = payload.partition(b",")
    return b"%b%b%d,%b" % (kind, prefix, offset, rest)


def merged_frame(prefix: bytes, first: int, offset: int, payload: bytes) -> bytes:
    """The frame of a payload that stands for the events `first` to `offset`."""
    if first == offset:
        return event_frame(prefix, offset, payload)
    kind, _, rest = payload.partition(b",")
    return b'%b%b%d,"first":%d,%b' % (kind, prefix, offset, first, rest)


def snapshot_frame(plan_id: str, position: Position, snapshot: bytes) -> bytes:
    """The frame of an encoded snapshot (`broadcasters.snapshot.encode`)."""
    members = f',"plan_id":"{plan_id}","epoch":"{position.epoch}","offset":{position.offset},"data":'
    return b"%b%b%b}" % (_SNAPSHOT, members.encode(), snapshot)


def event_line(position: Position, payload: bytes) -> bytes:
    """The line of a stored event, or of a snapshot, in an export: the payload with its position."""
    return b'{"epoch":"%b","offset":%d,%b\n' % (position.epoch.encode(), position.offset, payload[1:])


def snapshot_line(plan_id: str, position: Position, snapshot: bytes) -> bytes:
    """The line of an encoded snapshot in an export; it stands for the events up to its position."""
    return event_line(position, b'{"type":"snapshot","plan_id":"%b","data":%b}' % (plan_id.encode(), snapshot))


# -- reading frames ----------------------------------------------------------------------------------------------------


def position_of(frame: bytes) -> tuple[str, bytes, int]:
    """Plan id, position (`epoch:offset`) and offset of an event's or a snapshot's frame."""
    found = _position.match(frame)
    if found is None:
        raise ValueError("not the frame of an event or a snapshot")
    return found[1].decode(), b"%b:%b" % (found[2], found[3]), int(found[3])


class FrameEvent(NamedTuple):
    """The event in a frame. It stands for the offsets from `first` to that of its position."""

    first: int
    position: Position
    event: PlanEvent | None
    """None if its type is unknown here or its data is invalid."""


def event_of(frame: bytes) -> FrameEvent:
    """Decode an event's frame."""
    fields: dict[str, Any] = json.loads(frame)
    position = Position(fields["epoch"], fields["offset"])
    event, cls = None, EVENTS.get(fields["type"])
    if cls is not None:
        try:
            event = build(cls, fields["data"])
        except InvalidEvent as error:
            log.warning("plan %s, offset %s: %s", fields["plan_id"], fields["offset"], error)
    return FrameEvent(fields.get("first", position.offset), position, event)


def data_of(frame: bytes) -> bytes:
    """The data of a snapshot's frame, as it was encoded."""
    return frame[frame.index(b',"data":') + 8 : -1]


def is_snapshot(frame: bytes) -> bool:
    """Whether this is a snapshot's frame."""
    return frame.startswith(_SNAPSHOT)


def snapshot_ended(frame: bytes) -> bool:
    """Whether this is the snapshot of a plan that has ended."""
    found = _snapshot_status.search(frame, 0, 1024)
    return found is not None and found[1].decode() in PLAN_ENDED


# -- WebSocket (RFC 6455) ----------------------------------------------------------------------------------------------


def text_frames(frames: Iterable[bytes]) -> bytes:
    """The frames as unmasked WebSocket text messages, one after another. The caller ensures that each is UTF-8."""
    pieces: list[bytes] = []
    for frame in frames:
        pieces.append(_header(len(frame)))
        pieces.append(frame)
    return b"".join(pieces)


def _header(length: int) -> bytes:
    if length < 126:
        return bytes((0x81, length))
    if length < 65536:
        return b"\x81\x7e" + length.to_bytes(2, "big")
    return b"\x81\x7f" + length.to_bytes(8, "big")


# -- server-sent events (HTML) -----------------------------------------------------------------------------------------

_line_end: Final = re.compile(rb"\r\n|\r|\n")


def data_field(frame: bytes) -> bytes:
    """The frame as the data of a message, and the message's end. A line break in it does not end the message."""
    if b"\n" in frame or b"\r" in frame:
        return b"".join(b"data: %b\n" % line for line in _line_end.split(frame)) + b"\n"
    return b"data: %b\n\n" % frame


def named_message(name: str, fields: dict[str, Any]) -> bytes:
    """A message with an event name of its own."""
    return b"event: %b\ndata: %b\n\n" % (name.encode(), json.dumps(fields, separators=(",", ":")).encode())


class EventStream:
    """The frames of a burst, all of one plan, as messages of an event stream; each form is made at most once."""

    def __init__(self, frames: Sequence[bytes]) -> None:
        self._frames = frames
        self.plan_id, self.position, self.offset = position_of(frames[-1])
        """The plan, and the position of the last frame."""

    @cached_property
    def messages(self) -> bytes:
        """All frames, each with its position as id: for a stream of this plan alone."""
        return b"".join(b"id: %b\n%b" % part for part in self.parts)

    @cached_property
    def parts(self) -> Sequence[tuple[bytes, bytes]]:
        """Position and data of each frame: for a stream of several plans, which has ids of its own."""
        return [(position_of(frame)[1], data_field(frame)) for frame in self._frames]

    @cached_property
    def ended(self) -> bool | None:
        """Whether the plan has ended after these frames; None when they don't change that."""
        ended: bool | None = None
        for frame in self._frames:
            if is_type(frame, "plan_update"):
                data = json.loads(frame)["data"]
                if "step_id" not in data:
                    ended = data.get("status", "in_progress") in PLAN_ENDED
        return ended
