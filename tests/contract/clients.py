"""The clients of logs in tests: producers that number their appends, and watchers that record calls."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from zlib import crc32

from broadcasters.events import AgentMessage, PlanUpdate, build
from broadcasters.log.contract import Appended, Checkpoint, Entry, Facts, PlanLog, facts_of
from broadcasters.position import Position
from broadcasters.snapshot import Snapshot, encode

__all__ = ["Batch", "Producer", "RecordingWatcher", "all_of", "checkpoint_at", "entry_of", "next_tick", "texts_of"]

DEADLINE_S = 20.0


def entry_of(plan_id: str, text: str, key: str | None = None) -> Entry:
    """An agent's message as an entry."""
    event = build(AgentMessage, {"plan_id": plan_id, "agent_name": "Tester", "content": text})
    return Entry(event.payload(f"id-{crc32(text.encode()):08x}"), key)


def checkpoint_at(plan_id: str, place: Position) -> Checkpoint:
    """A checkpoint of the plan at this position, with an empty snapshot."""
    return Checkpoint(place, encode(Snapshot(plan_id=plan_id, offset=place.offset)))


def texts_of(payloads: Sequence[bytes]) -> list[str]:
    """The contents of these events."""
    return [json.loads(payload)["data"]["content"] for payload in payloads]


async def next_tick() -> None:
    """Wait until the clock shows another millisecond, by which a log may order plans."""
    now_ms = time.time_ns() // 1_000_000
    while time.time_ns() // 1_000_000 <= now_ms + 1:
        await asyncio.sleep(0)


@dataclass(frozen=True, slots=True)
class Batch:
    """One append, which can be repeated."""

    plan_id: str
    producer: str
    seq: int
    entries: Sequence[Entry]
    facts: Facts

    async def to(self, log: PlanLog) -> Appended:
        return await log.append(self.plan_id, self.producer, self.seq, self.entries, self.facts)

    def with_more(self, *texts: str) -> Batch:
        more = [entry_of(self.plan_id, text) for text in texts]
        return Batch(self.plan_id, self.producer, self.seq, [*self.entries, *more], self.facts)


class Producer:
    """Numbers its entries of a plan, as a broadcaster does."""

    def __init__(self, plan_id: str, name: str = "producer-1") -> None:
        self.plan_id = plan_id
        self.name = name
        self.seq = 1

    def batch(self, *texts: str, keys: Sequence[str | None] | None = None, facts: Facts | None = None) -> Batch:
        """The next append: messages of these texts."""
        keys = keys or [None] * len(texts)
        entries = [entry_of(self.plan_id, text, key) for text, key in zip(texts, keys, strict=True)]
        return self._counted(entries, facts or Facts(first_status="in_progress"))

    def update(self, **fields: Any) -> Batch:
        """The next append: a plan_update, with its facts for lists."""
        event = build(PlanUpdate, {"plan_id": self.plan_id, **fields})
        return self._counted([Entry(event.payload(f"update-{self.seq}"))], facts_of([event]))

    def _counted(self, entries: Sequence[Entry], facts: Facts) -> Batch:
        seq, self.seq = self.seq, self.seq + len(entries)
        return Batch(self.plan_id, self.name, seq, entries, facts)


async def all_of(log: PlanLog, plan_id: str, after: int = 0, limit: int = 500) -> list[str]:
    """The contents of all events after `after`, read page by page."""
    told: list[str] = []
    while True:
        page = await log.read(plan_id, after, limit)
        told += texts_of(page.payloads)
        after = page.first + len(page.payloads) - 1
        if after >= page.head.offset:
            return told
        assert page.payloads, "an empty page while there is more (L5)"


class RecordingWatcher:
    """A watcher that records its calls; tests can wait for them."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, int, list[bytes]]] = []
        self.words: list[str] = []
        self._something = asyncio.Event()

    def arrived(self, epoch: str, first: int, payloads: Sequence[bytes]) -> None:
        self.calls.append((epoch, first, list(payloads)))
        self._something.set()

    def lost(self) -> None:
        self._say("lost")

    def resumed(self) -> None:
        self._say("resumed")

    def deleted(self) -> None:
        self._say("deleted")

    def _say(self, word: str) -> None:
        self.words.append(word)
        self._something.set()

    @property
    def offsets(self) -> list[int]:
        """The offsets received, in the order of their first arrival."""
        received = [first + i for _, first, payloads in self.calls for i in range(len(payloads))]
        return list(dict.fromkeys(received))

    @property
    def story(self) -> list[str]:
        """The texts received, by offset."""
        by_offset = {first + i: one for _, first, payloads in self.calls for i, one in enumerate(payloads)}
        return texts_of([by_offset[offset] for offset in sorted(by_offset)])

    async def until(self, done: Callable[[RecordingWatcher], bool]) -> None:
        """Wait for a condition; fails after a deadline."""
        try:
            async with asyncio.timeout(DEADLINE_S):
                while not done(self):
                    self._something.clear()
                    await self._something.wait()
        except TimeoutError:
            raise AssertionError(f"only received {self.offsets} and {self.words}") from None

    async def until_offset(self, offset: int) -> None:
        await self.until(lambda received: offset in received.offsets)

    async def until_word(self, word: str) -> None:
        await self.until(lambda received: word in received.words)
