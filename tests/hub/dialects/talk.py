"""Plans told to a dialect's speaker, without a hub."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from broadcasters.events import EVENTS, build
from broadcasters.fold import fold
from broadcasters.position import Position
from broadcasters.snapshot import empty
from hub.dialects.dialect import Act, Say, Told
from hub.dialects.dialect_events import retelling

__all__ = ["frames", "retold", "told"]


def told(plan_id: str, offset: int, kind: str, *, retold: bool = False, **fields: Any) -> Told:
    """An event of that type."""
    return Told(Position("e", offset), build(EVENTS[kind], {"plan_id": plan_id, **fields}), retold)


def retold(plan_id: str, story: Iterable[Told]) -> list[Told]:
    """The same plan as one is told it who comes when the log holds only a snapshot of it."""
    snapshot = fold(empty(plan_id), 1, [one.event for one in story])
    return [*retelling(snapshot, "e")]


def frames(acts: Iterable[Act]) -> list[dict[str, Any]]:
    """What the client is sent."""
    return [dict(act.frame) for act in acts if isinstance(act, Say)]
