"""A folded plan as events again, for dialects."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

from broadcasters.events import PlanUpdate
from broadcasters.position import Position
from broadcasters.snapshot import Snapshot, decode
from hub.core.snapshot_events import rebuilt_with_offsets
from hub.dialects.dialect import Told

__all__ = ["retelling", "retold_by"]


def retelling(snapshot: Snapshot, epoch: str) -> Iterator[Told]:
    """The folded plan as the events that would have told it. The last says how the plan stands, its result too."""
    for offset, event in rebuilt_with_offsets(snapshot):
        last = offset == snapshot.offset and isinstance(event, PlanUpdate)
        said = event.model_copy(update={"data": snapshot.result or snapshot.data}) if last else event
        yield Told(Position(epoch, offset), said, retold=True)


@lru_cache(maxsize=1)
def retold_by(frame: bytes) -> Sequence[Told]:
    """The events of a snapshot's frame. All clients of a plan that get one get the same, one right after the other."""
    sent: dict[str, Any] = json.loads(frame)
    return [*retelling(decode(json.dumps(sent["data"]).encode()), sent["epoch"])]
