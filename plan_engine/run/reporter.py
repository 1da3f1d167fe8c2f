"""Brings what a run says to the plan's log: in order, each thing once, and only while the run is this worker's."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final, Protocol, TypeVar

from broadcasters.broadcaster import Broadcaster
from broadcasters.errors import BroadcasterClosed, LogFull, LogUnavailable
from broadcasters.events import PlanEvent
from broadcasters.position import Position
from broadcasters.supervision import pauses
from plan_engine.errors import Cancelled

__all__ = ["Grip", "Keyed", "Teller", "tell_all"]

logger = logging.getLogger(__name__)

T = TypeVar("T")

LONGEST_PAUSE_S: Final = 2.0

Keyed = tuple[PlanEvent, str]
"""An event, and the key under which it is told at most once."""


class Grip(Protocol):
    """A worker's hold on the runs it works on."""

    @property
    def firm(self) -> bool:
        """Is it certain at this moment that nobody else has taken them over?"""
        ...

    async def regained(self) -> bool:
        """Wait until that is certain again; False when somebody has."""
        ...


async def tell_all(broadcaster: Broadcaster, said: Iterable[Keyed]) -> None:
    """Tell several things, in this order, in as few appends as possible; for as long as it takes."""
    told = list(said)
    await _insist(lambda: _tell_all(broadcaster, told))


async def _tell_all(broadcaster: Broadcaster, told: Sequence[Keyed]) -> None:
    await asyncio.gather(*(broadcaster.send(event, key=key) for event, key in told))


async def _insist(tell: Callable[[], Awaitable[T]]) -> T:
    """While the log is away, the broadcaster tries again by itself; when it has no room, that is for a person to mend."""
    complained = False
    for pause in pauses(LONGEST_PAUSE_S):
        try:
            return await tell()
        except (LogFull, LogUnavailable) as error:
            if not complained:
                logger.warning("a plan stands still: %s", error)
            complained = True
        await asyncio.sleep(pause)
    raise AssertionError("pauses have no end")


class Teller:
    """Tells of one plan, for as long as it takes: a plan stands still while its log is away, or has no room."""

    def __init__(self, broadcaster: Broadcaster, grip: Grip, plan_id: str) -> None:
        self.plan_id = plan_id
        self._broadcaster = broadcaster
        self._grip = grip
        self.silenced = False
        """Set for ever once the run is another worker's, or given up."""

    async def tell(self, event: PlanEvent, key: str) -> Position:
        """Tell it, unless its key was told before; where it stands. `Cancelled` when the run isn't ours any more, or this
        worker has stopped."""

        async def once() -> Position:
            await self._allowed()
            return await self._broadcaster.send(event, key=key)

        return await self._while_ours(once)

    async def tell_all(self, said: Iterable[Keyed]) -> None:
        """Tell several things, in this order."""
        told = list(said)

        async def once() -> None:
            await self._allowed()
            await _tell_all(self._broadcaster, told)

        await self._while_ours(once)

    async def _while_ours(self, tell: Callable[[], Awaitable[T]]) -> T:
        try:
            return await _insist(tell)
        except BroadcasterClosed:  # no failure of the step, which goes on elsewhere
            raise Cancelled(f"this worker has stopped; plan {self.plan_id} is for another one") from None

    async def _allowed(self) -> None:
        if not self._grip.firm and not self.silenced and not await self._grip.regained():
            self.silenced = True
        if self.silenced:
            raise Cancelled(f"another worker has taken over plan {self.plan_id}")
