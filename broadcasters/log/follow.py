"""`follow`: the events of one plan in any log, one by one, across network errors, restarts and trimming."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Final, Literal

from broadcasters.errors import LogError, LogUnavailable
from broadcasters.log.contract import Checkpoint, Head, Page, PlanLog
from broadcasters.position import Continuity, Position
from broadcasters.supervision import Supervisor, pauses

__all__ = ["Broken", "Followed", "Interrupted", "Received", "Resumed", "follow"]

BUFFERED_BYTES: Final = 1024 * 1024
"""Payloads kept for a consumer that is busy. When more arrive, all are dropped, and read again from the log."""
PAGE_EVENTS: Final = 500
LONGEST_PAUSE_S: Final = 2.0
"""A log that could not be read is read again after growing pauses, up to this long."""
HEADS_AT_ONCE: Final = 500
IN_FLIGHT_S: Final = 0.25
"""An event that the log has and a reader lacks may be on its way: only one missing for longer was lost."""


@dataclass(frozen=True, slots=True)
class Received:
    """The next event. `position` is that of a reader that has it."""

    position: Position
    payload: bytes


@dataclass(frozen=True, slots=True)
class Interrupted:
    """The log can't be reached. Nothing is lost: `Resumed` follows, and then the events missed meanwhile."""


@dataclass(frozen=True, slots=True)
class Resumed:
    """The log can be reached again."""


@dataclass(frozen=True, slots=True)
class Broken:
    """The events after the reader's position can't be had (`reason`). The reader drops its state, and starts again
    from the checkpoint, or from nothing when there is none. The events after that come next."""

    reason: Continuity
    head: Head
    checkpoint: Checkpoint | None


Followed = Received | Interrupted | Resumed | Broken


async def follow(
    log: PlanLog, plan_id: str, after: Position | Literal["start", "now"] = "start", *, beat_s: float = 5.0
) -> AsyncGenerator[Followed, None]:
    """Yield the events after `after`, without gap or duplicate and without end; `Broken` where that is impossible.

    Args:
        log: An open log.
        plan_id: The plan; it need not have events yet.
        after: A position; `"start"` for everything retained; `"now"` for later events only.
        beat_s: Seconds between checks of the log for events that the tail did not deliver. One check serves all plans
            followed in this process.

    Returns:
        An iterator that the caller closes (`contextlib.aclosing`).

    Raises:
        LogUnavailable: The log can't be reached at the beginning. Later on, `Interrupted` is yielded instead.
        LogMisconfigured: The log refuses to be read.

    Example:
        async with aclosing(follow(log, "plan-1")) as items:
            async for item in items:
                if isinstance(item, Received):
                    print(item.position.offset, item.payload)
    """
    async with _head_check(log, beat_s) as check:
        tail = _TailBuffer(check.soon)
        watch = await log.watch(plan_id, tail)
        try:
            reader = _PlanReader(log, plan_id, tail, await _position(log, plan_id, after))
            check.readers.add(reader)
            try:
                while True:
                    for item in await reader.more():
                        yield item
            finally:
                check.readers.discard(reader)
        finally:
            await watch.close()


async def _position(log: PlanLog, plan_id: str, after: Position | Literal["start", "now"]) -> Position:
    if isinstance(after, Position):
        return after
    head = await log.head(plan_id)
    return head.position if after == "now" else Position(head.lineage.epoch, head.floor)


class _TailBuffer:
    """Watcher that keeps what the tail delivers until the reader takes it; beyond a bound, only that it was too much."""

    def __init__(self, compare_soon: Callable[[], None]) -> None:
        self._compare_soon = compare_soon
        self._arrived: list[tuple[str, int, Sequence[bytes]]] = []
        self._bytes = 0
        self._changed = asyncio.Event()
        self.doubtful = True
        """Events may be missing: read the log."""
        self.standing = True
        self.was_lost = False

    @property
    def empty(self) -> bool:
        return not self._arrived

    def arrived(self, epoch: str, first: int, payloads: Sequence[bytes]) -> None:
        if self.doubtful:
            return
        self._changed.set()
        self._arrived.append((epoch, first, payloads))
        self._bytes += sum(map(len, payloads))
        if self._bytes > BUFFERED_BYTES:
            self.doubt()

    def lost(self) -> None:
        self.standing = False
        self.was_lost = True
        self._changed.set()

    def resumed(self) -> None:
        self.standing = True
        self._changed.set()
        if self.empty:
            self._compare_soon()
        else:
            self.doubt()

    def deleted(self) -> None:
        self.doubt()

    def doubt(self) -> None:
        """Drop what arrived; the log has to be read instead."""
        self.take()
        self.doubtful = True
        self._changed.set()

    def take(self) -> Sequence[tuple[str, int, Sequence[bytes]]]:
        """What arrived since the last call: epoch, first offset and payloads."""
        arrived, self._arrived, self._bytes = self._arrived, [], 0
        return arrived

    async def changed(self, timeout_s: float | None = None) -> None:
        """Wait for the next call of the tail, or for so many seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._changed.wait()
        self._changed.clear()


class _PlanReader:
    """A position in a plan. It advances by what the tail delivers, and by reading the log where events may be missing."""

    def __init__(self, log: PlanLog, plan_id: str, tail: _TailBuffer, position: Position) -> None:
        self.plan_id = plan_id
        self.position = position
        self._log = log
        self._tail = tail
        self._pauses: Iterator[float] | None = None
        """While the log can't be read: the pauses before further tries."""
        self._interrupted = False

    @property
    def idle(self) -> bool:
        """Nothing is left to yield or to read: an event beyond `position` that the log has was missed."""
        return self._tail.empty and not self._tail.doubtful

    def doubt(self) -> None:
        self._tail.doubt()

    async def more(self) -> Sequence[Followed]:
        """The next items; may be empty."""
        if not self._tail.doubtful:
            await self._tail.changed()
        elif self._pauses is not None:
            await self._tail.changed(next(self._pauses))
        items: list[Followed] = [*self._interruptions()]
        items += self._take()
        if self._tail.doubtful:
            items += await self._read()
        return items

    def _interruptions(self) -> Iterator[Followed]:
        tail = self._tail
        reachable = tail.standing and self._pauses is None
        if (tail.was_lost or not reachable) and not self._interrupted:
            self._interrupted = True
            yield Interrupted()
        tail.was_lost = False
        if reachable and self._interrupted:
            self._interrupted = False
            yield Resumed()

    def _take(self) -> Iterator[Followed]:
        for epoch, first, payloads in self._tail.take():
            if epoch != self.position.epoch or first > self.position.offset + 1:
                self._tail.doubt()
                return
            yield from self._advance(epoch, first, payloads)

    async def _read(self) -> Sequence[Followed]:
        self._tail.doubtful = False  # what arrives from here on is behind what is read now
        try:
            page = await self._log.read(self.plan_id, self.position.offset, PAGE_EVENTS)
            items = await self._continue(page)
        except LogUnavailable:
            self._tail.doubtful = True
            self._pauses = self._pauses or pauses(LONGEST_PAUSE_S)
            return [*self._interruptions()]
        self._pauses = None
        return [*self._interruptions(), *items]

    async def _continue(self, page: Page) -> Sequence[Followed]:
        reason = page.head.continuity(self.position)
        if reason != "ok":
            return [await self._start_again(reason)]
        items = [*self._advance(page.head.lineage.epoch, page.first, page.payloads)]
        if self.position.offset < page.head.offset:
            self._tail.doubt()
        return items

    async def _start_again(self, reason: Continuity) -> Broken:
        checkpoint = await self._log.checkpoint(self.plan_id)
        head = await self._log.head(self.plan_id)
        if checkpoint and head.continuity(checkpoint.position) == "ok":
            self.position = checkpoint.position
        else:
            checkpoint = None
            self.position = Position(head.lineage.epoch, head.floor)
        self._tail.doubt()
        return Broken(reason, head, checkpoint)

    def _advance(self, epoch: str, first: int, payloads: Sequence[bytes]) -> Iterator[Received]:
        for offset, payload in enumerate(payloads, first):
            if offset > self.position.offset:
                self.position = Position(epoch, offset)
                yield Received(self.position, payload)


class _HeadCheck:
    """Compares the heads of followed plans with their readers' positions: every `beat_s` seconds, and on `soon`.

    It is one call to the log for all readers of the process. A reader that missed an event reads the log; so do all of
    them when the log does not answer.
    """

    def __init__(self, log: PlanLog, beat_s: float) -> None:
        self.readers: set[_PlanReader] = set()
        self.users = 0
        self._log = log
        self._soon = asyncio.Event()
        self._supervisor = Supervisor()
        self._supervisor.repeat("comparing the heads of followed plans", self._compare, every=beat_s, wake=self._soon)

    def soon(self) -> None:
        self._soon.set()

    async def close(self) -> None:
        await self._supervisor.close()

    async def _compare(self) -> None:
        known = {reader: reader.position for reader in self.readers if reader.idle}
        try:
            heads = await self._heads({reader.plan_id for reader in known})
        except Exception as error:
            for reader in known:
                reader.doubt()
            if isinstance(error, LogError):  # each reader gets it again, and reports it
                return
            raise
        if any(_missed(reader.position, before, heads[reader.plan_id]) for reader, before in known.items()):
            await asyncio.sleep(IN_FLIGHT_S)
        for reader, before in known.items():
            if reader.idle and _missed(reader.position, before, heads[reader.plan_id]):
                reader.doubt()

    async def _heads(self, plan_ids: Collection[str]) -> Mapping[str, Head]:
        ids = sorted(plan_ids)
        heads: dict[str, Head] = {}
        for at in range(0, len(ids), HEADS_AT_ONCE):
            heads.update(await self._log.heads(ids[at : at + HEADS_AT_ONCE]))
        return heads


def _missed(position: Position, before: Position, head: Head) -> bool:
    """Whether a reader that was at `before` when the log was at `head`, and is at `position` now, missed an event."""
    return head.lineage.epoch != position.epoch or not before.offset <= head.offset <= position.offset


_checks: Final[dict[tuple[PlanLog, asyncio.AbstractEventLoop, float], _HeadCheck]] = {}
"""Those in use. A log belongs to one event loop."""


@asynccontextmanager
async def _head_check(log: PlanLog, beat_s: float) -> AsyncGenerator[_HeadCheck]:
    """The check that all followers of this log share. It ends when the last of them leaves."""
    key = log, asyncio.get_running_loop(), beat_s
    check = _checks.get(key) or _checks.setdefault(key, _HeadCheck(log, beat_s))
    check.users += 1
    try:
        yield check
    finally:
        check.users -= 1
        if not check.users:
            del _checks[key]
            await check.close()
