"""Brings what a run says to the plan's log: in order, each thing once, and only while the run is this worker's."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Protocol

from broadcasters.broadcaster import Broadcaster
from broadcasters.events import PlanEvent
from broadcasters.position import Position
from plan_engine.errors import Cancelled

__all__ = ["Grip", "Keyed", "Teller", "tell_all"]

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
    """Tells of one plan. The broadcaster tries for as long as it takes: a plan stands still while its log is away."""

    def __init__(self, broadcaster: Broadcaster, grip: Grip, plan_id: str) -> None:
        self.plan_id = plan_id
        self._broadcaster = broadcaster
        self._grip = grip
        self.silenced = False
        """Set for ever once the run is another worker's, or given up."""

    async def tell(self, event: PlanEvent, key: str) -> Position:
        """Tell it, unless its key was told before; where it stands. `Cancelled` when the run isn't ours any more."""
        await self._allowed()
        return await self._broadcaster.send(event, key=key)

    async def tell_all(self, said: Iterable[Keyed]) -> None:
        """Tell several things, in this order."""
        await self._allowed()
        await tell_all(self._broadcaster, said)

    async def _allowed(self) -> None:
        if not self._grip.firm and not self.silenced and not await self._grip.regained():
            self.silenced = True
        if self.silenced:
            raise Cancelled(f"another worker has taken over plan {self.plan_id}")
