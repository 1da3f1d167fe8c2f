"""The hub's own frames of a plan as events again, for dialects."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

from broadcasters.errors import InvalidEvent
from broadcasters.events import EVENTS, PlanUpdate, build
from broadcasters.position import Position
from broadcasters.snapshot import Snapshot
from hub.dialects.speaker import Told
from hub.retold import retold_in_place

__all__ = ["retelling", "told_by"]

log = logging.getLogger(__name__)


def told_by(frame: bytes) -> Told | None:
    """The event of an event's frame; None for one of a type that this hub doesn't know, or that isn't sound."""
    said: dict[str, Any] = json.loads(frame)
    cls = EVENTS.get(said["type"])
    if cls is None:
        return None
    try:
        event = build(cls, said["data"])
    except InvalidEvent as error:
        log.warning("plan %s, offset %s: %s", said["plan_id"], said["offset"], error)
        return None
    return Told(Position(said["epoch"], said["offset"]), event)


def retelling(snapshot: Snapshot, epoch: str) -> Iterator[Told]:
    """The folded plan as the events that would have told it. The last says how the plan stands, its result too."""
    for offset, event in retold_in_place(snapshot):
        last = offset == snapshot.offset and isinstance(event, PlanUpdate)
        said = event.model_copy(update={"data": snapshot.result or snapshot.data}) if last else event
        yield Told(Position(epoch, offset), said, retold=True)
