"""`follow`: one plan's story from any log, event by event, however the weather is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from broadcasters.errors import LogUnavailable
from broadcasters.log.contract import Checkpoint, Head, Page, PlanLog
from broadcasters.position import Continuity, Position

__all__ = ["Broken", "Interrupted", "Item", "Resumed", "Told", "follow"]

HEARD_BYTES: Final = 1024 * 1024
"""What is kept for a consumer who is busy; when more arrives, all of it is forgotten, and read again from the log."""
PAGE_EVENTS: Final = 500
AGAIN_S: Final = 0.5
"""How long to wait before a log that could not be read is asked again."""


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
    asked whether something was missed. The caller closes the iterator when done (`contextlib.aclosing`). When the log
    can't be reached at the beginning, `LogUnavailable` is raised; later on, it is `Interrupted`.
    """
    ear = _Ear()
    watch = await log.watch(plan_id, ear)
    try:
        reader = _Reader(log, plan_id, ear, await _place(log, plan_id, after))
        while True:
            for item in await reader.more(beat_s):
                yield item
    finally:
        await watch.close()


async def _place(log: PlanLog, plan_id: str, after: Position | Literal["start", "now"]) -> Position:
    if isinstance(after, Position):
        return after
    head = await log.head(plan_id)
    return head.position if after == "now" else Position(head.lineage.epoch, head.floor)


class _Ear:
    """What the tail says, kept until the reader takes it: little, or else only that something was said."""

    def __init__(self) -> None:
        self._heard: list[tuple[str, int, Sequence[bytes]]] = []
        self._weight = 0
        self._something = asyncio.Event()
        self.doubtful = True
        """Something may be missing from what was heard: read."""
        self.standing = True
        self.was_lost = False

    def arrived(self, epoch: str, first: int, payloads: Sequence[bytes]) -> None:
        self._something.set()
        if self.doubtful:
            return
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

    async def listen(self, beat_s: float) -> None:
        """Wait until something is said; after a beat of silence, doubt that nothing was."""
        try:
            async with asyncio.timeout(beat_s):
                await self._something.wait()
        except TimeoutError:
            self.doubtful = True
        self._something.clear()


class _Reader:
    """Stands at a place in the plan, and goes on by what the ear heard, or by reading the log where that may not do."""

    def __init__(self, log: PlanLog, plan_id: str, ear: _Ear, place: Position) -> None:
        self._log = log
        self._plan_id = plan_id
        self._ear = ear
        self._place = place
        self._reachable = True
        self._interrupted = False

    async def more(self, beat_s: float) -> Sequence[Item]:
        """What comes next; empty when nothing came for a beat."""
        if not self._ear.doubtful:
            await self._ear.listen(beat_s)
        elif not self._reachable:
            await asyncio.sleep(AGAIN_S)
        items: list[Item] = [*self._weather()]
        items += self._hear()
        if self._ear.doubtful:
            items += await self._read()
        return items

    def _weather(self) -> Iterator[Item]:
        ear = self._ear
        calm = ear.standing and self._reachable
        if (ear.was_lost or not calm) and not self._interrupted:
            self._interrupted = True
            yield Interrupted()
        ear.was_lost = False
        if calm and self._interrupted:
            self._interrupted = False
            yield Resumed()

    def _hear(self) -> Iterator[Item]:
        for epoch, first, payloads in self._ear.take():
            at = self._place.offset
            if epoch != self._place.epoch or first > at + 1:
                self._ear.doubt()
                return
            yield from self._tell(epoch, first, payloads)

    async def _read(self) -> Sequence[Item]:
        self._ear.doubtful = False  # what arrives from here on is behind what is read now
        try:
            page = await self._log.read(self._plan_id, self._place.offset, PAGE_EVENTS)
            items = await self._continue(page)
        except LogUnavailable:
            self._ear.doubtful = True
            self._reachable = False
            return [*self._weather()]
        self._reachable = True
        return [*self._weather(), *items]

    async def _continue(self, page: Page) -> Sequence[Item]:
        head = page.head
        reason = head.lineage.continuity(self._place, head.offset, head.floor)
        if reason != "ok":
            return [await self._begin_anew(reason)]
        items = [*self._tell(head.lineage.epoch, page.first, page.payloads)]
        if self._place.offset < head.offset:
            self._ear.doubt()
        return items

    async def _begin_anew(self, reason: Continuity) -> Broken:
        checkpoint = await self._log.checkpoint(self._plan_id)
        head = await self._log.head(self._plan_id)
        if checkpoint and head.lineage.continuity(checkpoint.position, head.offset, head.floor) == "ok":
            self._place = checkpoint.position
        else:
            checkpoint = None
            self._place = Position(head.lineage.epoch, head.floor)
        self._ear.doubt()
        return Broken(reason, head, checkpoint)

    def _tell(self, epoch: str, first: int, payloads: Sequence[bytes]) -> Iterator[Told]:
        for offset, payload in enumerate(payloads, first):
            if offset > self._place.offset:
                self._place = Position(epoch, offset)
                yield Told(self._place, payload)
