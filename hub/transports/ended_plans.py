"""Has a plan ended by a certain place? Every stream that joins it at its head asks, and the log is read once for all."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import Final
from weakref import WeakValueDictionary

from broadcasters.checkpointing import snapshot_of
from broadcasters.errors import SnapshotUnreadable
from broadcasters.log.contract import PlanLog
from hub.core.counts import HubCounts
from hub.core.tail import LogRetry

__all__ = ["Endings"]

REMEMBERED: Final = 4_096


class Endings:
    """What is found is true of that place for ever; the newest are remembered."""

    def __init__(self, log: PlanLog, counts: HubCounts) -> None:
        self._log = log
        self._counts = counts
        self._known: OrderedDict[str, tuple[int, bool]] = OrderedDict()
        self._asking: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def over(self, plan_id: str, offset: int) -> bool:
        """Had the plan ended at this offset, its head just now? False, too, when it has gone on since.

        While the log is away it is asked again, with growing pauses: the answer comes when the log does."""
        lock = self._asking.setdefault(plan_id, asyncio.Lock())
        async with lock:
            found = self._known.get(plan_id)
            if found is None or found[0] != offset:
                found = await self._look(plan_id)
        return found == (offset, True)

    async def _look(self, plan_id: str) -> tuple[int, bool]:
        try:
            snapshot, _ = await LogRetry(plan_id, self._counts)(lambda: snapshot_of(self._log, plan_id))
        except SnapshotUnreadable:  # newer code wrote it: the stream ends when an event says that the plan does
            return 0, False
        found = self._known[plan_id] = snapshot.offset, snapshot.ended_at is not None
        self._known.move_to_end(plan_id)
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return found
