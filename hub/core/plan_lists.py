"""Lists of plans for those who may see only some of them.

Plans that may be seen can be few among many, so a list reads page after page of the log's index. That is bounded: in one
request, by what its caller may ask for, and by how many pages the process reads at once, so that everything else has its
turn in between.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from broadcasters.log.contract import PlanEntry, PlanLog
from hub.core.rates import ONE, Rates
from hub.core.shares import Holder

__all__ = ["PlanLists"]

PAGE: Final = 100
"""Plans of the index that are read at once: about two milliseconds' work."""
PAGES_AT_MOST: Final = 20
"""So many for one request; its cursor goes on from there."""
PAGES_INCLUDED: Final = 5
"""The longest list that may be asked for, when its caller may see all of it. Each page more costs one unit."""
READ_AT_ONCE: Final = 4


class PlanLists:
    """Belongs to one event loop."""

    def __init__(self, log: PlanLog, rates: Rates) -> None:
        self._log = log
        self._rates = rates
        self._room = asyncio.Semaphore(READ_AT_ONCE)

    async def find(
        self,
        holder: Holder,
        shown: Callable[[PlanEntry], bool],
        limit: int,
        *,
        owner: str | None = None,
        label: str | None = None,
        cursor: str | None = None,
    ) -> tuple[list[PlanEntry], str | None]:
        """Up to `limit` plans that may be shown, the last active first, and the log's cursor behind them.

        There may be fewer of them, or none, and a cursor: more are to be found behind it."""
        found: list[PlanEntry] = []
        for number in range(PAGES_AT_MOST):
            if number >= PAGES_INCLUDED and not self._rates.affords(holder, ONE):
                break
            async with self._room:
                most = min(PAGE, limit - len(found))
                page = await self._log.plans(owner=owner, label=label, cursor=cursor, limit=most)
            found += filter(shown, page.plans)
            cursor = page.cursor
            if cursor is None or len(found) == limit:
                break
        return found, cursor
