"""Long polls: a subscriber for as long as one answer takes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field

from broadcasters.position import Position
from hub.core.burst import Burst
from hub.transports.door import Door, Visitor

__all__ = ["Found", "wait_for_events"]


@dataclass(slots=True)
class Found:
    """What came, if anything did: frames, and the place after them; or the reason why the story can't go on."""

    place: Position
    head: int = 0
    frames: Sequence[bytes] = field(default_factory=list[bytes])
    reason: str | None = None


async def wait_for_events(door: Door, visitor: Visitor, plan_id: str, place: Position, seconds: float) -> Found:
    """The first events after `place`, as soon as there are some; nothing when none came in time.

    Whoever calls has let the visitor read the plan. `Refused` when there are too many connections already.
    """
    admission = door.admit(visitor)
    if isinstance(admission, Awaitable):
        admission = await admission
    poll = _Poll(Found(place))
    channel, subscriber = door.registry.join(poll, plan_id, place)
    try:
        channel.start(subscriber)
        async with asyncio.timeout(seconds):
            await poll.came.wait()
    except TimeoutError:
        pass
    finally:
        channel.leave(subscriber)
        door.leave(None, admission)
    return poll.found


class _Poll:
    """A client that takes one burst."""

    def __init__(self, found: Found) -> None:
        self.found = found
        self.full = False
        self.came = asyncio.Event()

    def deliver(self, burst: Burst) -> None:
        if not self.came.is_set():
            self.found.frames = burst.frames
            self.found.place = Position(self.found.place.epoch, burst.last)
            self.found.head = max(self.found.head, burst.last)
            self.full = True
            self.came.set()

    def placed(self, plan_id: str, place: Position, head: int, reason: str | None) -> None:  # noqa: ARG002
        self.found.place, self.found.head, self.found.reason = place, head, reason
        if reason is not None:
            self.came.set()

    def snapshot(self, frame: bytes) -> None:
        """The poll is over already: it was told the reason."""

    def refused(self, plan_id: str, message: str, retry_after_ms: int) -> None:  # noqa: ARG002
        self.came.set()

    def ended(self, plan_id: str, code: int, reason: str) -> None:  # noqa: ARG002
        self.found.reason = "epoch"
        self.came.set()
