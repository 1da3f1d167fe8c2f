"""Senders that repeat what was not acknowledged, as a broadcaster does, and remember where everything should stand."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Sequence

from broadcasters.errors import LogUnavailable
from broadcasters.log.contract import PlanLog
from broadcasters.position import Position
from tests.contract.clients import Batch, Producer, texts_of

__all__ = ["Sender", "all_said_more", "check_story", "positions_by_text", "said_in_all", "until"]

DEADLINE_S = 60.0


async def until(true: Callable[[], bool]) -> None:
    """Wait for something that is brought about in another process."""
    async with asyncio.timeout(DEADLINE_S):
        while not true():
            await asyncio.sleep(0.001)


class Sender:
    """Says `<name>-1`, `<name>-2` … about a plan, one append at a time."""

    def __init__(self, log: PlanLog, plan_id: str, name: str) -> None:
        self.log = log
        self.plan_id = plan_id
        self.acknowledged: dict[str, Position] = {}
        self.repetitions = 0
        self._producer = Producer(plan_id, name)
        self._numbers = itertools.count(1)

    async def say(self, *, events: int = 1) -> Position:
        """Say the next things; returns when they are acknowledged."""
        texts = [f"{self._producer.name}-{next(self._numbers)}" for _ in range(events)]
        appended = await self._insist(self._producer.batch(*texts))
        places = [Position(appended_epoch, offset) for appended_epoch, offset in appended]
        self.acknowledged |= dict(zip(texts, places, strict=True))
        return places[-1]

    async def until(self, enough: asyncio.Event) -> None:
        """Go on saying things until it is enough."""
        while not enough.is_set():
            await self.say()

    async def _insist(self, batch: Batch) -> Sequence[tuple[str, int]]:
        async with asyncio.timeout(DEADLINE_S):
            while True:
                try:
                    appended = await batch.to(self.log)
                except LogUnavailable:
                    self.repetitions += 1
                    await asyncio.sleep(0.02)
                else:
                    return [(appended.epoch, offset) for offset in appended.offsets]


async def said_in_all(senders: Sequence[Sender], count: int) -> None:
    """Wait until so many of their appends were acknowledged."""
    await until(lambda: sum(len(sender.acknowledged) for sender in senders) >= count)


async def all_said_more(senders: Sequence[Sender]) -> None:
    """Wait until every one of them got another acknowledgement."""
    before = {sender: len(sender.acknowledged) for sender in senders}
    await until(lambda: all(len(sender.acknowledged) > count for sender, count in before.items()))


async def positions_by_text(log: PlanLog, plan_id: str) -> dict[str, int]:
    """The whole story: each text's offset; fails when one is told twice, or an offset is missing."""
    offsets: dict[str, int] = {}
    after = 0
    while True:
        page = await log.read(plan_id, after)
        for offset, text in enumerate(texts_of(page.payloads), page.first):
            assert text not in offsets, f"{text} stands at {offsets[text]} and again at {offset}"
            offsets[text] = offset
        assert page.first == after + 1
        after += len(page.payloads)
        if after == page.head.offset:
            return offsets
        assert page.payloads


async def check_story(log: PlanLog, senders: Sequence[Sender]) -> None:
    """Everything acknowledged stands where it was said to stand; nothing stands twice; every sender's order is kept."""
    for plan_id in {sender.plan_id for sender in senders}:
        offsets = await positions_by_text(log, plan_id)
        for sender in senders:
            if sender.plan_id == plan_id:
                promised = {text: place.offset for text, place in sender.acknowledged.items()}
                assert promised.items() <= offsets.items()
                assert list(promised.values()) == sorted(promised.values())
