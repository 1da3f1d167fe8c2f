"""What is read from a plan's log for subscribers, held against what the tail knows: it has to be of the same story."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Literal

from broadcasters.log.contract import Head, PlanLog
from hub.core.burst import Burst
from hub.core.composer import Composed
from hub.core.history import Folded, History
from hub.core.log_retry import Patience
from hub.core.subscriber import Subscriber
from hub.core.tail import ChannelTail

__all__ = ["Readings", "Unreadable"]

Unreadable = Literal["trimmed", "another story"]
"""Why there is nothing to hand on. Of another story the tail learns, and its follower hears when it has caught up."""


class Readings:
    """Reads until the log answers."""

    def __init__(
        self, plan_id: str, plan_log: PlanLog, tail: ChannelTail, patiently: Patience, page_bytes: int
    ) -> None:
        self.history = History(plan_id, plan_log, page_bytes)
        self.tasks: set[asyncio.Task[None]] = set()
        self._tail = tail
        self._patiently = patiently

    async def page(self, after: int, upto: Callable[[], int], *, merged: bool) -> Burst | Unreadable:
        """Events after this offset, at most those up to `upto` (as it is when the log is asked, and when it answers)."""
        head, burst = await self._patiently(lambda: self.history.after(after, upto(), merged=merged))
        return self._checked(head, burst, after + 1, upto()) or burst or "trimmed"

    async def composed(self, after: int, reach: int, upto: Callable[[], int]) -> Composed | Unreadable:
        """The same with whole messages; those withheld at `after` began after `reach`."""
        asked: list[int] = []

        async def ask() -> tuple[Head, Composed | None]:
            asked.append(upto())
            return await self.history.composed(after, reach, asked[-1])

        head, composed = await self._patiently(ask)
        least = min(after + 1, asked[-1])
        return self._checked(head, composed and composed.burst, least, upto()) or composed or "trimmed"

    async def fold(self, reach: Callable[[], int], least: int = 0) -> Folded:
        """The folded plan: as it was at `reach` or later, and at `least` or later, if there is as much."""
        folded = await self._patiently(lambda: self.history.snapshot(reach()))
        while not self._tail.covers(folded.head) or folded.head.offset < min(least, self._tail.head):
            self.history.forget()
            await self._tail.catch_up()
            folded = await self._patiently(lambda: self.history.snapshot(reach()))
        return folded

    def start(
        self,
        subscriber: Subscriber,
        work: Coroutine[Any, Any, None],
        failed: Callable[[Subscriber, BaseException], None],
    ) -> None:
        """What is read for a subscriber: one thing at a time."""
        task = subscriber.work = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(lambda done: self._ended(subscriber, done, failed))

    async def close(self) -> None:
        """End what is being read."""
        tasks = list(self.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.history.close()

    def _ended(
        self, subscriber: Subscriber, task: asyncio.Task[None], failed: Callable[[Subscriber, BaseException], None]
    ) -> None:
        self.tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            failed(subscriber, error)

    def _checked(self, head: Head, burst: Burst | None, first: int, upto: int) -> Unreadable | None:
        if head.lineage != self._tail.lineage or (burst is not None and not first <= burst.last <= upto):
            self.history.forget()
            self._tail.mend()
            return "another story"
        return "trimmed" if burst is None else None
