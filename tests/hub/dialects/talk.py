"""Plans' events for a dialect, without a hub."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from broadcasters.events import EVENTS, build
from broadcasters.fold import fold
from broadcasters.position import Position
from broadcasters.snapshot import empty
from hub.dialects.dialect import Action, FollowedEvent, SendFrame, rebuilt_events

__all__ = ["followed", "frames", "rebuilt"]


def followed(plan_id: str, offset: int, kind: str, *, rebuilt: bool = False, **fields: Any) -> FollowedEvent:
    """An event of that type."""
    return FollowedEvent(Position("e", offset), build(EVENTS[kind], {"plan_id": plan_id, **fields}), rebuilt)


def rebuilt(plan_id: str, events: Iterable[FollowedEvent]) -> list[FollowedEvent]:
    """The same plan's events as rebuilt from a snapshot, for a client that connects when the log holds no more."""
    snapshot = fold(empty(plan_id), 1, [one.event for one in events])
    return [*rebuilt_events(snapshot, "e")]


def frames(actions: Iterable[Action]) -> list[dict[str, Any]]:
    """The frames that the client is sent."""
    return [dict(one.frame) for one in actions if isinstance(one, SendFrame)]
