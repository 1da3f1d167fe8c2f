"""Following one plan's log: what is known of it, taking what comes next, reading what was missed.

What is known (lineage, head, floor) changes here and nowhere else. Whoever reads the log for other reasons holds what
it read against that; when it doesn't fit, `catch_up` first.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any, NamedTuple, Protocol

from broadcasters.errors import LogError
from broadcasters.log.contract import Head, PlanLog, Watch
from broadcasters.position import Continuity, Lineage, Position
from hub.core.counts import HubCounts
from hub.core.log_retry import Patience

__all__ = ["Arrival", "ChannelTail", "Early", "Follower"]


class Arrival(NamedTuple):
    """The log says that these were appended at `first`, `first + 1` ..."""

    epoch: str
    first: int
    payloads: Sequence[bytes]


class Early:
    """Arrivals to be taken later, in order. Bounded: the oldest go, and show as a hole; the newest always stays."""

    __slots__ = ("_arrivals", "_max_bytes", "size")

    def __init__(self, max_bytes: int) -> None:
        self._arrivals: deque[Arrival] = deque()
        self._max_bytes = max_bytes
        self.size = 0

    def __len__(self) -> int:
        return len(self._arrivals)

    def keep(self, arrival: Arrival) -> None:
        self._arrivals.append(arrival)
        self.size += _size(arrival)
        while self.size > self._max_bytes and len(self._arrivals) > 1:
            self.take()

    def take(self) -> Arrival:
        """The oldest."""
        arrival = self._arrivals.popleft()
        self.size -= _size(arrival)
        return arrival


def _size(arrival: Arrival) -> int:
    return sum(map(len, arrival.payloads))


log = logging.getLogger(__name__)


class Follower(Protocol):
    """Whoever follows a plan through a tail. Called in the event loop; none of these blocks or raises."""

    def opened(self) -> None:
        """The tail stands for the first time."""

    def taken(self, payloads: Sequence[bytes]) -> None:
        """These came next, and are the newest now."""

    def epoch_began(self) -> None:
        """The story goes on under a new epoch."""

    def broke(self, lineage: Lineage) -> None:
        """The log, known under this lineage so far, is not what it was. The tail stands at its head."""

    def deleted(self) -> None:
        """The plan is gone. The tail stands before its first event, should it begin again."""

    def caught_up(self) -> None:
        """What was missed has been read."""

    def failed(self) -> None:
        """The tail can't begin, or can't go on, for a reason that waiting does not cure."""


class _Nobody(Follower):
    """The follower of a closed tail: without a reference to the real one, both are freed when they are not used."""


class ChannelTail:
    """A watcher of the log, on behalf of one follower. It begins when it is made; `close` it."""

    def __init__(
        self,
        plan_id: str,
        plan_log: PlanLog,
        follower: Follower,
        counts: HubCounts,
        patiently: Patience,
        compare_soon: Callable[[], None],
        early_bytes: int,
    ) -> None:
        self.lineage = Lineage()
        self.head = 0
        self.floor = 0
        self.open = False
        self.deaf = False
        """Lost: what is appended is not heard of until it stands again."""
        self._plan_id = plan_id
        self._log = plan_log
        self._follower = follower
        self._counts = counts
        self._patiently = patiently
        self._compare_soon = compare_soon
        self._early = Early(early_bytes)
        self._watch: Watch | None = None
        self._read_again = False  # what is being read may be older than what was heard of
        self._repair: asyncio.Task[None] | None = None
        self._beginning = self._spawn(self._begin())

    def continuity(self, place: Position) -> Continuity:
        """Can a reader at `place` go on, as far as is known?"""
        return self.lineage.continuity(place, self.head, self.floor)

    def covers(self, head: Head) -> bool:
        """Whether what was read when the log stood there is a part of the story that is known."""
        return head.lineage == self.lineage and head.offset <= self.head

    # -- what the log says ---------------------------------------------------------------------------------------------

    def arrived(self, epoch: str, first: int, payloads: Sequence[bytes]) -> None:
        """The log says that these were appended. What doesn't come next is found, or known already."""
        if not self.open or self._repair is not None:
            self._early.keep(Arrival(epoch, first, payloads))
        elif epoch != self.lineage.epoch:
            if not self.lineage.contains(epoch):  # of an epoch that ended, what survived is known
                self.mend()
        elif first > self.head + 1:
            self._counts.holes += 1
            self.mend()
        elif first + len(payloads) > self.head + 1:
            self._take(payloads[self.head + 1 - first :])

    def lost(self) -> None:
        self.deaf = True

    def resumed(self) -> None:
        self.deaf = False
        self._read_again = self._read_again or not self.open
        self._compare_soon()

    def deleted(self) -> None:
        if self.open:
            self._know(Head())
        self.mend()
        self._follower.deleted()

    def compare(self, head: Head, known: int) -> None:
        """The slow beat: the log was at `head`, asked for when this tail was at `known`. What was missed is read."""
        if not self.open:
            return
        same = head.lineage.epoch == self.lineage.epoch
        if same:
            self.floor = max(self.floor, head.floor)
        if not (same and known <= head.offset <= self.head):
            self._counts.holes += self._repair is None and head.offset > self.head
            self.mend()

    # -- reading on ----------------------------------------------------------------------------------------------------

    def mend(self) -> None:
        """Read what follows the head; once more, if that is under way."""
        self._read_again = True
        if self.open and self._repair is None:
            self._repair = self._spawn(self._read_on())

    async def catch_up(self) -> None:
        """Come to know the log at least as it is now."""
        self.mend()
        if self._repair is not None:
            await asyncio.wait({self._repair})

    async def close(self) -> None:
        """End it."""
        self.open = False
        tasks = [self._beginning, *([self._repair] if self._repair else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._watch is not None:
            with suppress(LogError):  # then there is nothing to end
                await self._watch.close()
        self._watch, self._follower = None, _Nobody()  # type: ignore[abstract]

    async def _begin(self) -> None:
        """Stand in the log's tail first, then look where the plan is: so nothing falls between."""
        self._watch = await self._patiently(lambda: self._log.watch(self._plan_id, self))
        self._know(await self._patiently(lambda: self._log.head(self._plan_id)))
        self.open = True
        self._follower.opened()
        if self._read_again:  # it was deleted, or not heard of for a while, as it was looked up
            self.mend()
        self._take_early()

    async def _read_on(self) -> None:
        try:
            while self._read_again:
                self._read_again = False
                await self._read_page()
        finally:
            self._repair = None
        self._take_early()
        self._follower.caught_up()

    async def _read_page(self) -> None:
        lineage, head = self.lineage, self.head
        page = await self._patiently(lambda: self._log.read(self._plan_id, head))
        if (lineage, head) != (self.lineage, self.head):
            return  # it was deleted meanwhile, and is read again
        place = Position(lineage.epoch, head)
        if page.head.lineage.continuity(place, page.head.offset, page.head.floor) != "ok":
            self._know(page.head)
            self._counts.continuity_lost += 1
            self._follower.broke(lineage)
            return
        self._know(Head(page.head.lineage, head, page.head.floor))
        if self.lineage != lineage:
            self._follower.epoch_began()
        if page.payloads:
            self._take(page.payloads)
            self._read_again = self._read_again or self.head < page.head.offset

    def _know(self, head: Head) -> None:
        self.lineage, self.head, self.floor = head.lineage, head.offset, head.floor

    def _take(self, payloads: Sequence[bytes]) -> None:
        self.head += len(payloads)
        self._follower.taken(payloads)

    def _take_early(self) -> None:
        while self._early and self._repair is None:
            self.arrived(*self._early.take())

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("the tail of plan %s failed: %s", self._plan_id, error, exc_info=error)
            self._follower.failed()
