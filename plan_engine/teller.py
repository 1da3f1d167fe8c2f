"""Brings what a run says to the plan's log: in order, each thing once, and only while the run is this worker's."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Final, Protocol, TypeVar

from broadcasters.broadcaster import Broadcaster
from broadcasters.errors import LogFull
from broadcasters.events import PlanEvent
from broadcasters.pauses import pauses
from broadcasters.position import Position
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
    """Tell several things, in this order, in as few appends as possible."""
    await asyncio.gather(*(broadcaster.send(event, key=key) for event, key in said))


class Teller:
    """Tells of one plan, for as long as it takes: a plan stands still while its log is away, or has no room."""

    def __init__(self, broadcaster: Broadcaster, grip: Grip, plan_id: str) -> None:
        self.plan_id = plan_id
        self._broadcaster = broadcaster
        self._grip = grip
        self.silenced = False
        """Set for ever once the run is another worker's, or given up."""

    async def tell(self, event: PlanEvent, key: str) -> Position:
        """Tell it, unless its key was told before; where it stands. `Cancelled` when the run isn't ours any more."""
        return await self._insist(lambda: self._broadcaster.send(event, key=key))

    async def tell_all(self, said: Iterable[Keyed]) -> None:
        """Tell several things, in this order."""
        told = list(said)
        await self._insist(lambda: tell_all(self._broadcaster, told))

    async def _insist(self, tell: Callable[[], Awaitable[T]]) -> T:
        """While the log is away, the broadcaster tries again by itself; room is made by a person, who is told once."""
        complained = False
        for pause in pauses(LONGEST_PAUSE_S):
            await self._allowed()
            try:
                return await tell()
            except LogFull as full:
                if not complained:
                    logger.warning("plan %s stands still: %s", self.plan_id, full)
                complained = True
            await asyncio.sleep(pause)
        raise AssertionError("pauses have no end")

    async def _allowed(self) -> None:
        if not self._grip.firm and not self.silenced and not await self._grip.regained():
            self.silenced = True
        if self.silenced:
            raise Cancelled(f"another worker has taken over plan {self.plan_id}")
