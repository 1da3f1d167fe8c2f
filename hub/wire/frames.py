"""What the hub sends about a plan: events and snapshots, made from stored bytes without parsing them."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from typing import Any

from broadcasters.errors import InvalidEvent
from broadcasters.events import EVENTS, PlanEvent, build
from broadcasters.position import Position

__all__ = [
    "event_frame",
    "event_of",
    "event_prefix",
    "merged_frame",
    "snapshot_frame",
    "text_frames",
]

log = logging.getLogger(__name__)


def event_prefix(plan_id: str, epoch: str) -> bytes:
    """The part that all event frames of a plan have in common while the epoch lasts. Both are plain: they need no
    escapes in JSON (plan ids and epochs are checked where they are made)."""
    return f',"plan_id":"{plan_id}","epoch":"{epoch}","offset":'.encode()


def event_frame(prefix: bytes, offset: int, payload: bytes) -> bytes:
    """The frame of a stored event. The payload is as `PlanEvent.payload` makes it: it begins with `{"type":"…",`.

    This runs once an event, whatever the number of subscribers; no part of it looks inside."""
    kind, _, rest = payload.partition(b",")
    return b"%b%b%d,%b" % (kind, prefix, offset, rest)


def merged_frame(prefix: bytes, first: int, offset: int, payload: bytes) -> bytes:
    """The frame of a payload that stands for the events `first` to `offset`."""
    if first == offset:
        return event_frame(prefix, offset, payload)
    kind, _, rest = payload.partition(b",")
    return b'%b%b%d,"first":%d,%b' % (kind, prefix, offset, first, rest)


def snapshot_frame(plan_id: str, place: Position, snapshot: bytes) -> bytes:
    """The frame of a folded plan, which is a JSON object already."""
    head = f'{{"type":"snapshot","plan_id":"{plan_id}","epoch":"{place.epoch}","offset":{place.offset},"data":'
    return b"%b%b}" % (head.encode(), snapshot)


def event_of(frame: bytes) -> tuple[Position, PlanEvent] | None:
    """The event of an event's frame, and its place; None for a type that this hub doesn't know, or unsound data."""
    sent: dict[str, Any] = json.loads(frame)
    cls = EVENTS.get(sent["type"])
    if cls is None:
        return None
    try:
        event = build(cls, sent["data"])
    except InvalidEvent as error:
        log.warning("plan %s, offset %s: %s", sent["plan_id"], sent["offset"], error)
        return None
    return Position(sent["epoch"], sent["offset"]), event


def text_frames(frames: Iterable[bytes]) -> bytes:
    """Many messages as one piece of bytes. The caller vouches that each is UTF-8."""
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
