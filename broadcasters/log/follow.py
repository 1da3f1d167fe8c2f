"""`follow`: one plan's story from any log, event by event, however the weather is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Literal

from broadcasters.errors import LogUnavailable
from broadcasters.log.beat import beating
from broadcasters.log.contract import Checkpoint, Head, Page, PlanLog
from broadcasters.position import Continuity, Position
from broadcasters.supervision import pauses

__all__ = ["Broken", "Interrupted", "Item", "Resumed", "Told", "follow"]

HEARD_BYTES: Final = 1024 * 1024
"""What is kept for a consumer who is busy; when more arrives, all of it is forgotten, and read again from the log."""
PAGE_EVENTS: Final = 500
LONGEST_PAUSE_S: Final = 2.0
"""A log that could not be read is asked again after growing pauses, up to this long."""


@dataclass(frozen=True, slots=True)
class Told:
    """The next event: `position` is where the reader stands once it has this one."""

    position: Position
    payload: bytes


@dataclass(frozen=True, slots=True)
class Interrupted:
    """The log is out of reach. Nothing is lost yet: `Resumed`, and then what was missed, will come."""


@dataclass(frozen=True, slots=True)
class Resumed:
    """The log is back."""


@dataclass(frozen=True, slots=True)
class Broken:
    """The story can't go on from where the reader was (`reason`): it forgets what it had, and begins anew with the
    checkpoint, if there is one, else with nothing. What follows that comes next, by itself."""

    reason: Continuity
    head: Head
    checkpoint: Checkpoint | None


Item = Told | Interrupted | Resumed | Broken


async def follow(
    log: PlanLog, plan_id: str, after: Position | Literal["start", "now"] = "start", *, beat_s: float = 5.0
) -> AsyncGenerator[Item, None]:
    """What follows `after`, without hole or duplicate and without end, or else word that the story broke.

    `"start"` is all that is retained, `"now"` only what is appended from here on. Every `beat_s` seconds the log is
    asked whether something was missed, once for all who follow its plans in this process. The caller closes the
    iterator when done (`contextlib.aclosing`). When the log can't be reached at the beginning, `LogUnavailable` is
    raised; later on, it is `Interrupted`.
    """
    async with beating(log, beat_s) as beat:
        ear = _Ear(beat.soon)
        watch = await log.watch(plan_id, ear)
        try:
            reader = _Reader(log, plan_id, ear, await _place(log, plan_id, after))
            beat.readers.add(reader)
            try:
                while True:
                    for item in await reader.more():
                        yield item
            finally:
                beat.readers.discard(reader)
        finally:
            await watch.close()


async def _place(log: PlanLog, plan_id: str, after: Position | Literal["start", "now"]) -> Position:
    if isinstance(after, Position):
        return after
    head = await log.head(plan_id)
    return head.position if after == "now" else Position(head.lineage.epoch, head.floor)


class _Ear:
    """What the tail says, kept until the reader takes it: little, or else only that something was said."""

    def __init__(self, compare_soon: Callable[[], None]) -> None:
        self._compare_soon = compare_soon
        self._heard: list[tuple[str, int, Sequence[bytes]]] = []
        self._weight = 0
        self._something = asyncio.Event()
        self.doubtful = True
        """Something may be missing from what was heard: read."""
        self.standing = True
        self.was_lost = False

    @property
    def silent(self) -> bool:
        """Nothing was heard that the reader has not taken."""
        return not self._heard

    def arrived(self, epoch: str, first: int, payloads: Sequence[bytes]) -> None:
        if self.doubtful:
            return
        self._something.set()
        self._heard.append((epoch, first, payloads))
        self._weight += sum(map(len, payloads))
        if self._weight > HEARD_BYTES:
            self.doubt()

    def lost(self) -> None:
        self.standing = False
        self.was_lost = True
        self._something.set()

    def resumed(self) -> None:
        self.standing = True
        self._something.set()
        if self.silent:
            self._compare_soon()
        else:
            self.doubt()

    def deleted(self) -> None:
        self.doubt()

    def doubt(self) -> None:
        """Trust nothing heard so far."""
        self.take()
        self.doubtful = True
        self._something.set()

    def take(self) -> Sequence[tuple[str, int, Sequence[bytes]]]:
        """What was heard since the last call."""
        heard, self._heard, self._weight = self._heard, [], 0
        return heard

    async def listen(self, seconds: float | None = None) -> None:
        """Wait until something is said, or so many seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._something.wait()
        self._something.clear()


class _Reader:
    """Stands at a place in the plan, and goes on by what the ear heard, or by reading the log where that may not do."""

    def __init__(self, log: PlanLog, plan_id: str, ear: _Ear, place: Position) -> None:
        self.plan_id = plan_id
        self.place = place
        self._log = log
        self._ear = ear
        self._pauses: Iterator[float] | None = None
        """While the log can't be read: how long to wait before each next try."""
        self._interrupted = False

    @property
    def waits(self) -> bool:
        return self._ear.silent and not self._ear.doubtful

    def doubt(self) -> None:
        self._ear.doubt()

    async def more(self) -> Sequence[Item]:
        """What comes next; may be empty."""
        if not self._ear.doubtful:
            await self._ear.listen()
        elif self._pauses is not None:
            await self._ear.listen(next(self._pauses))
        items: list[Item] = [*self._weather()]
        items += self._hear()
        if self._ear.doubtful:
            items += await self._read()
        return items

    def _weather(self) -> Iterator[Item]:
        ear = self._ear
        calm = ear.standing and self._pauses is None
        if (ear.was_lost or not calm) and not self._interrupted:
            self._interrupted = True
            yield Interrupted()
        ear.was_lost = False
        if calm and self._interrupted:
            self._interrupted = False
            yield Resumed()

    def _hear(self) -> Iterator[Item]:
        for epoch, first, payloads in self._ear.take():
            at = self.place.offset
            if epoch != self.place.epoch or first > at + 1:
                self._ear.doubt()
                return
            yield from self._tell(epoch, first, payloads)

    async def _read(self) -> Sequence[Item]:
        self._ear.doubtful = False  # what arrives from here on is behind what is read now
        try:
            page = await self._log.read(self.plan_id, self.place.offset, PAGE_EVENTS)
            items = await self._continue(page)
        except LogUnavailable:
            self._ear.doubtful = True
            self._pauses = self._pauses or pauses(LONGEST_PAUSE_S)
            return [*self._weather()]
        self._pauses = None
        return [*self._weather(), *items]

    async def _continue(self, page: Page) -> Sequence[Item]:
        head = page.head
        reason = head.lineage.continuity(self.place, head.offset, head.floor)
        if reason != "ok":
            return [await self._begin_anew(reason)]
        items = [*self._tell(head.lineage.epoch, page.first, page.payloads)]
        if self.place.offset < head.offset:
            self._ear.doubt()
        return items

    async def _begin_anew(self, reason: Continuity) -> Broken:
        checkpoint = await self._log.checkpoint(self.plan_id)
        head = await self._log.head(self.plan_id)
        if checkpoint and head.lineage.continuity(checkpoint.position, head.offset, head.floor) == "ok":
            self.place = checkpoint.position
        else:
            checkpoint = None
            self.place = Position(head.lineage.epoch, head.floor)
        self._ear.doubt()
        return Broken(reason, head, checkpoint)

    def _tell(self, epoch: str, first: int, payloads: Sequence[bytes]) -> Iterator[Told]:
        for offset, payload in enumerate(payloads, first):
            if offset > self.place.offset:
                self.place = Position(epoch, offset)
                yield Told(self.place, payload)
