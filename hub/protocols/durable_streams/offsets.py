"""Offsets of streams: a position as text that sorts in the order of the log."""

from __future__ import annotations

import re
from typing import Final

from broadcasters.position import Lineage, Position

__all__ = ["BEGIN", "offset_text", "position_at", "position_in_text"]

BEGIN: Final = Position("", 0)
"""Before the first event."""
_offset: Final = re.compile(r"([0-9]{16})_([0-9A-Za-z]{0,64})\Z")


def offset_text(position: Position) -> str:
    """The offset of a position."""
    return f"{position.offset:016}_{position.epoch}"


def position_in_text(text: str) -> Position | None:
    """The position of an offset; None if the text is not an offset."""
    found = _offset.match(text)
    return None if found is None else Position(found[2], int(found[1]))


def position_at(lineage: Lineage, offset: int) -> Position:
    """The position after this event, with the epoch in which the event was appended: it never changes."""
    if offset == 0:
        return BEGIN
    ended = (epoch for epoch, end in lineage.ended if offset <= end)
    return Position(next(ended, lineage.epoch), offset)
