"""A place in a plan's log as dialects let clients name it: `epoch:offset`."""

from __future__ import annotations

from broadcasters.position import Position
from hub.transports.sse import BadCursor, place_in

__all__ = ["BadCursor", "place_of", "place_said"]


def place_said(place: Position) -> str:
    """As a client is told."""
    return f"{place.epoch}:{place.offset}"


def place_of(text: str) -> Position:
    """As a client says it; `BadCursor` when it is none."""
    return Position(**place_in(text))
