"""Follows one plan's log: keeps what is known of it, takes what is appended, reads what was missed.

The plan's lineage, head and floor, as far as this node knows them, change here and nowhere else. Code that reads the log
for other reasons compares the result with them, and calls `catch_up` first when it doesn't fit.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple, Protocol, TypeVar

from broadcasters.errors import LogError
from broadcasters.log.contract import Head, PlanLog, Watch
from broadcasters.position import Continuity, Lineage, Position
from broadcasters.supervision import pauses
from hub.core.counts import HubCounts

__all__ = ["Arrival", "ChannelTail", "EarlyArrivals", "Follower", "LogRetry"]

log = logging.getLogger(__name__)

LONGEST_PAUSE: Final = 2.0
T = TypeVar("T")


class LogRetry:
    """Repeats a call of one plan's log until it succeeds. Logs an outage once, and its end once, regardless of the number of
    callers."""

    def __init__(self, plan_id: str, counts: HubCounts) -> None:
        self._plan_id = plan_id
        self._counts = counts
        self._failing = False

    async def __call__(self, call: Callable[[], Awaitable[T]]) -> T:
        """The result of `call`, however long that takes: a caller with a deadline cancels this."""
        between = pauses(LONGEST_PAUSE)
        while True:
            try:
                result = await call()
            except LogError as error:
                self._failed(error)
                await asyncio.sleep(next(between))
            else:
                self._succeeded()
                return result

    def _failed(self, error: LogError) -> None:
        self._counts.log_errors[type(error).__name__] += 1
        if not self._failing:
            self._failing = True
            log.warning("plan %s: the log does not answer: %s", self._plan_id, error)

    def _succeeded(self) -> None:
        if self._failing:
            self._failing = False
            log.info("plan %s: the log answers again", self._plan_id)


class Arrival(NamedTuple):
    """Payloads that the log reports as appended at `first`, `first + 1` ..."""

    epoch: str
    first: int
    payloads: Sequence[bytes]


class EarlyArrivals:
    """Arrivals to be taken later, in order. Bounded: the oldest are dropped, which shows as a hole later; the newest
    always stays."""

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
        """Remove and return the oldest."""
        arrival = self._arrivals.popleft()
        self.size -= _size(arrival)
        return arrival


def _size(arrival: Arrival) -> int:
    return sum(map(len, arrival.payloads))


class Follower(Protocol):
    """What follows a plan through a tail. Called in the event loop; none of these blocks or raises."""

    def opened(self) -> None:
        """The tail is open for the first time."""

    def taken(self, payloads: Sequence[bytes]) -> None:
        """These events came next, and are the newest now."""

    def epoch_began(self) -> None:
        """The lineage goes on under a new epoch."""

    def broke(self, lineage: Lineage) -> None:
        """The log no longer holds what it held under `lineage`. The tail is at the log's present head."""

    def deleted(self) -> None:
        """The plan was deleted. The tail is before its first event, in case it begins again."""

    def caught_up(self) -> None:
        """Everything that was missed has been read."""

    def failed(self) -> None:
        """The tail can't begin or continue, for a reason that waiting does not cure."""


class _NoFollower(Follower):
    """The follower of a closed tail: without a reference to the real one, both are freed when they are not used."""


class ChannelTail:
    """Watcher of one plan's log on behalf of one follower. It begins when it is made; `close` it."""

    def __init__(
        self,
        plan_id: str,
        plan_log: PlanLog,
        follower: Follower,
        counts: HubCounts,
        retry: LogRetry,
        compare_soon: Callable[[], None],
        early_bytes: int,
    ) -> None:
        self.lineage = Lineage()
        self.head = 0
        self.floor = 0
        self.open = False
        self.watch_lost = False
        """The log reports no appends until it resumes the watch."""
        self._plan_id = plan_id
        self._log = plan_log
        self._follower = follower
        self._counts = counts
        self._retry = retry
        self._compare_soon = compare_soon
        self._early = EarlyArrivals(early_bytes)
        self._watch: Watch | None = None
        self._read_again = False  # the read under way may be older than what was reported meanwhile
        self._repair: asyncio.Task[None] | None = None
        self._beginning = self._spawn(self._begin())

    def continuity(self, position: Position) -> Continuity:
        """Whether a reader at `position` can continue, as far as this node knows."""
        return self.lineage.continuity(position, self.head, self.floor)

    def covers(self, head: Head) -> bool:
        """Whether a read at which the log had this head belongs to what is known here."""
        return head.lineage == self.lineage and head.offset <= self.head

    # -- what the log reports (a `Watcher` of the log's contract) ------------------------------------------------------

    def arrived(self, epoch: str, first: int, payloads: Sequence[bytes]) -> None:
        """Take these if they come next. A hole before them is read from the log; what is known already is dropped."""
        if not self.open or self._repair is not None:
            self._early.keep(Arrival(epoch, first, payloads))
        elif epoch != self.lineage.epoch:
            if not self.lineage.contains(epoch):  # what survived of an earlier epoch is known
                self.mend()
        elif first > self.head + 1:
            self._counts.holes += 1
            self.mend()
        elif first + len(payloads) > self.head + 1:
            self._take(payloads[self.head + 1 - first :])

    def lost(self) -> None:
        self.watch_lost = True

    def resumed(self) -> None:
        self.watch_lost = False
        self._read_again = self._read_again or not self.open
        self._compare_soon()

    def deleted(self) -> None:
        if self.open:
            self._know(Head())
        self.mend()
        self._follower.deleted()

    def compare(self, head: Head, known: int) -> None:
        """Compare with the log's head, requested when this tail was at `known`; read what was missed."""
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
        """Read what follows the head; if that is being done, do it once more."""
        self._read_again = True
        if self.open and self._repair is None:
            self._repair = self._spawn(self._read_on())

    async def catch_up(self) -> None:
        """Know the log at least as it is now."""
        self.mend()
        if self._repair is not None:
            await asyncio.wait({self._repair})

    async def close(self) -> None:
        """Cancel every task and end the watch."""
        self.open = False
        tasks = [self._beginning, *([self._repair] if self._repair else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._watch is not None:
            with suppress(LogError):  # then the log has no watch to end
                await self._watch.close()
        self._watch, self._follower = None, _NoFollower()  # type: ignore[abstract]

    async def _begin(self) -> None:
        """Watch first, then read the head, so that nothing falls between the two."""
        self._watch = await self._retry(lambda: self._log.watch(self._plan_id, self))
        self._know(await self._retry(lambda: self._log.head(self._plan_id)))
        self.open = True
        self._follower.opened()
        if self._read_again:  # the plan was deleted, or the watch lost for a while, as the head was read
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
        page = await self._retry(lambda: self._log.read(self._plan_id, head))
        if (lineage, head) != (self.lineage, self.head):
            return  # the plan was deleted meanwhile, and is read again
        position = Position(lineage.epoch, head)
        if page.head.continuity(position) != "ok":
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
            log.error("plan %s: the tail failed: %s", self._plan_id, error, exc_info=error)
            self._follower.failed()
