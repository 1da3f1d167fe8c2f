"""Lists of plans for callers that may see only some of them.

The visible plans can be few among many, so a list reads page after page of the log's index. The pages of one request are
bounded by a number and by the caller's rate, and the pages that the process reads at once by a semaphore, so that other
tasks run in between.
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
"""Plans of the index read at once: about two milliseconds of work."""
PAGES_AT_MOST: Final = 20
"""Pages read for one request; its cursor continues from there."""
PAGES_INCLUDED: Final = 5
"""Pages that a request may read for free: as many as the longest list needs if all of it is visible. Each further page
costs one unit."""
READ_AT_ONCE: Final = 4


class PlanLists:
    """Finds visible plans in the log's index. Belongs to one event loop."""

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
        """Up to `limit` plans for which `shown` is true, the last active first, and the cursor after them.

        With a cursor there may be more plans after it, even if fewer than `limit` are returned, or none."""
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
