"""Reads of one plan's log for its subscribers: pages of events and the folded plan, for those whom the ring can't serve.

`History` reads once for all who need the same. It shows the log as it was then; `ChannelReader` checks that against what
the channel's tail knows before anything is handed on.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, Final, Generic, Literal, NamedTuple, TypeVar

from broadcasters.checkpointing import snapshot_of
from broadcasters.log.contract import Head, Page, PlanLog
from broadcasters.snapshot import Snapshot, encode
from hub.core.burst import Burst
from hub.core.composer import Composed, Composer, merge
from hub.core.subscriber import Subscriber
from hub.core.tail import ChannelTail, LogRetry
from hub.wire.frames import event_frame, event_prefix, merged_frame, snapshot_frame

__all__ = ["ChannelReader", "Folded", "History", "Passage", "ReadProblem", "SharedCall"]

PAGES_KEPT: Final = 4
PAGE_EVENTS: Final = 512

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


class SharedCall(Generic[K, T]):
    """Runs one call per key at a time and shares its result (single flight). Owns the tasks; `cancel` or `close` it."""

    def __init__(self) -> None:
        self._running: dict[K, asyncio.Task[T]] = {}

    async def ask(self, key: K, call: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """The result of the running call for `key`, or of a new one. Cancelling one caller does not affect the others."""
        task = self._running.get(key)
        if task is None:
            task = self._running[key] = asyncio.get_running_loop().create_task(call())
            task.add_done_callback(lambda done: self._ended(key, done))
        return await asyncio.shield(task)

    def cancel(self) -> None:
        """Cancel all running calls and their callers. Later callers start new calls."""
        ended, self._running = self._running, {}
        for task in ended.values():
            task.cancel()

    async def close(self) -> None:
        """Cancel all running calls, and wait until they have ended."""
        tasks = list(self._running.values())
        self.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _ended(self, key: K, task: asyncio.Task[T]) -> None:
        if self._running.get(key) is task:
            del self._running[key]
        if not task.cancelled():
            task.exception()  # mark as retrieved, so asyncio does not log it when every caller was cancelled


class Passage(NamedTuple):
    """Events that follow an offset, and the log's head when they were read. No burst: they were trimmed."""

    head: Head
    burst: Burst | None


class Folded(NamedTuple):
    """A snapshot's frame, and the head it was folded up to. Its unfinished messages all began after `reach`."""

    head: Head
    frame: bytes
    reach: int


class History:
    """Reads of one plan's log. Keeps the last few, because clients that lag often lag together: at most four pages'
    bytes of them, and one snapshot."""

    def __init__(self, plan_id: str, log: PlanLog, page_bytes: int) -> None:
        self._plan_id = plan_id
        self._log = log
        self._page_bytes = page_bytes
        self._reads: SharedCall[tuple[int, bool], Passage] = SharedCall()
        self._kept: OrderedDict[tuple[int, bool], Passage] = OrderedDict()
        self._compositions: SharedCall[tuple[int, int], tuple[Head, Composed | None]] = SharedCall()
        self._folds: SharedCall[None, Folded] = SharedCall()
        self._folded: Folded | None = None

    async def after(self, offset: int, upto: int, *, merged: bool) -> Passage:
        """Events after `offset` and not after `upto` (which must not fall while the lineage stays the same)."""
        key = (offset, merged)
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        return await self._reads.ask(key, lambda: self._read(offset, upto, merged=merged))

    async def composed(self, offset: int, reach: int, upto: int) -> tuple[Head, Composed | None]:
        """The same with whole messages; those withheld at `offset` began after `reach`."""
        return await self._compositions.ask((offset, reach), lambda: self._compose(offset, reach, upto))

    async def snapshot(self, reach: int) -> Folded:
        """The plan folded up to `reach` or later; the last fold is used again if it is late enough."""
        if self._folded is not None and self._folded.head.offset >= reach:
            return self._folded
        return await self._folds.ask(None, self._fold)

    def forget(self) -> None:
        """Drop everything that was read."""
        self._kept.clear()
        self._folded = None

    async def close(self) -> None:
        """Cancel the reads that are running, and drop the rest."""
        self.forget()
        await self._reads.close()
        await self._compositions.close()
        await self._folds.close()

    async def _read(self, after: int, upto: int, *, merged: bool) -> Passage:
        limit, size = (PAGE_EVENTS * 4, self._page_bytes * 4) if merged else (PAGE_EVENTS, self._page_bytes)
        page = await self._log.read(self._plan_id, after, min(limit, upto - after), size)
        if page.first != after + 1:
            return Passage(page.head, None)
        if merged:
            prefix = event_prefix(self._plan_id, page.head.lineage.epoch)
            frames = [merged_frame(prefix, *part) for part in merge(page.first, page.payloads)]
        else:
            frames = self._frames(page)
        burst = Burst(frames, page.first, after + len(page.payloads))
        passage = self._kept[after, merged] = Passage(page.head, burst)
        self._bound()
        return passage

    async def _compose(self, after: int, reach: int, upto: int) -> tuple[Head, Composed | None]:
        composer, frames, lineage = Composer(reach), list[bytes](), None
        while True:
            page = await self._log.read(self._plan_id, composer.at, max(1, min(PAGE_EVENTS * 4, upto - composer.at)))
            if page.first > after + 1:
                return page.head, None
            if lineage not in (None, page.head.lineage):  # the pages before may not be in this lineage
                composer, frames, lineage = Composer(reach), [], None
                continue
            lineage = page.head.lineage
            if page.first > composer.at + 1:  # trimmed: the messages are sent without their first parts
                composer = Composer(page.first - 1)
            for ready in composer.take(self._frames(page)):
                frames += ready.behind(after)
            if not page.payloads or composer.at >= upto or sum(map(len, frames)) >= self._page_bytes:
                return page.head, Composed(Burst(frames, after + 1, composer.at), composer.reach, composer)

    def _frames(self, page: Page) -> list[bytes]:
        prefix = event_prefix(self._plan_id, page.head.lineage.epoch)
        return [event_frame(prefix, at, payload) for at, payload in enumerate(page.payloads, page.first)]

    def _bound(self) -> None:
        while len(self._kept) > PAGES_KEPT or self._kept_bytes > self._page_bytes * 4:
            self._kept.popitem(last=False)

    @property
    def _kept_bytes(self) -> int:
        return sum(passage.burst.size for passage in self._kept.values() if passage.burst)

    async def _fold(self) -> Folded:
        snapshot, head = await snapshot_of(self._log, self._plan_id)
        frame = snapshot_frame(self._plan_id, head.position, encode(snapshot))
        self._folded = Folded(head, frame, _reach(snapshot))
        return self._folded


def _reach(snapshot: Snapshot) -> int:
    """The offset after which all unfinished messages began. The fold of a plan that has ended has none of them."""
    begun = [message.offset - 1 for message in snapshot.messages if message.streaming]
    if snapshot.ended_at is not None:
        begun.append(max(0, snapshot.offset - PAGE_EVENTS))
    return min(begun, default=snapshot.offset)


ReadProblem = Literal["trimmed", "other lineage"]
"""Why a read has nothing to hand on. After "other lineage" the tail catches up and then notifies its follower."""


class ChannelReader:
    """Reads on behalf of a channel's subscribers. Retries until the log answers, and checks each read against the tail."""

    def __init__(self, plan_id: str, plan_log: PlanLog, tail: ChannelTail, retry: LogRetry, page_bytes: int) -> None:
        self.history = History(plan_id, plan_log, page_bytes)
        self.tasks: set[asyncio.Task[None]] = set()
        self._tail = tail
        self._retry = retry

    async def page(self, after: int, upto: Callable[[], int], *, merged: bool) -> Burst | ReadProblem:
        """Events after this offset and not after `upto()`, which is called before the read and again after it."""
        head, burst = await self._retry(lambda: self.history.after(after, upto(), merged=merged))
        return self._checked(head, burst, after + 1, upto()) or burst or "trimmed"

    async def composed(self, after: int, reach: int, upto: Callable[[], int]) -> Composed | ReadProblem:
        """The same with whole messages; those withheld at `after` began after `reach`."""
        asked: list[int] = []

        async def ask() -> tuple[Head, Composed | None]:
            asked.append(upto())
            return await self.history.composed(after, reach, asked[-1])

        head, composed = await self._retry(ask)
        least = min(after + 1, asked[-1])
        return self._checked(head, composed and composed.burst, least, upto()) or composed or "trimmed"

    async def fold(self, reach: Callable[[], int], least: int = 0) -> Folded:
        """The plan folded up to `reach()` or later, and up to `least` or later if the log has that many events."""
        folded = await self._retry(lambda: self.history.snapshot(reach()))
        while not self._tail.covers(folded.head) or folded.head.offset < min(least, self._tail.head):
            self.history.forget()
            await self._tail.catch_up()
            folded = await self._retry(lambda: self.history.snapshot(reach()))
        return folded

    def start(
        self,
        subscriber: Subscriber,
        work: Coroutine[Any, Any, None],
        failed: Callable[[Subscriber, BaseException], None],
    ) -> None:
        """Run `work` as the subscriber's one task; `failed` gets what it raises."""
        task = subscriber.work = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(lambda done: self._ended(subscriber, done, failed))

    async def close(self) -> None:
        """Cancel every task, and wait until all have ended."""
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

    def _checked(self, head: Head, burst: Burst | None, first: int, upto: int) -> ReadProblem | None:
        if head.lineage != self._tail.lineage or (burst is not None and not first <= burst.last <= upto):
            self.history.forget()
            self._tail.mend()
            return "other lineage"
        return "trimmed" if burst is None else None
