"""A real log with faults between it and a broadcaster."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from broadcasters.errors import LogUnavailable
from broadcasters.log.contract import (
    Appended,
    Checkpoint,
    Durability,
    Entry,
    Facts,
    Head,
    Page,
    PlanLog,
    PlanPage,
    Watch,
    Watcher,
)

Fault = Literal["fine", "refused", "lost", "late"]
"""refused: not stored; lost: stored, but the reply was lost; late: stored a little after the call has failed."""


class Call(NamedTuple):
    plan_id: str
    producer: str
    seq: int
    entries: int


async def until(true: Callable[[], object]) -> None:
    """Wait until it is true; fails after a deadline."""
    async with asyncio.timeout(20):
        while not true():
            await asyncio.sleep(0.002)


class FaultyLog(PlanLog):
    """A log with faults: `faults` has those of the next appends, `error` is raised by all of them until it is None, and
    none passes while `gate` is closed."""

    def __init__(self, log: PlanLog) -> None:
        self.log = log
        self.faults: deque[Fault] = deque()
        self.error: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.calls: list[Call] = []
        self.under_way: dict[str, int] = {}
        self.most_under_way = 0
        self._late: set[asyncio.Task[Any]] = set()

    async def append(self, plan_id: str, producer: str, seq: int, entries: Sequence[Entry], facts: Facts) -> Appended:
        self.calls.append(Call(plan_id, producer, seq, len(entries)))
        self.under_way[plan_id] = self.under_way.get(plan_id, 0) + 1
        self.most_under_way = max(self.most_under_way, self.under_way[plan_id])
        try:
            await self.gate.wait()
            return await self._append_with_fault(plan_id, producer, seq, entries, facts)
        finally:
            self.under_way[plan_id] -= 1

    async def _append_with_fault(
        self, plan_id: str, producer: str, seq: int, entries: Sequence[Entry], facts: Facts
    ) -> Appended:
        if self.error:
            raise self.error
        fault = self.faults.popleft() if self.faults else "fine"
        if fault == "refused":
            raise LogUnavailable("the log is away")
        if fault == "late":
            self._late.add(asyncio.create_task(self._append_late(plan_id, producer, seq, entries, facts)))
            raise LogUnavailable("the connection broke")
        answer = await self.log.append(plan_id, producer, seq, entries, facts)
        if fault == "lost":
            raise LogUnavailable("the reply was lost")
        return answer

    async def _append_late(
        self, plan_id: str, producer: str, seq: int, entries: Sequence[Entry], facts: Facts
    ) -> Appended:
        for _ in range(3):
            await asyncio.sleep(0)
        return await self.log.append(plan_id, producer, seq, entries, facts)

    async def settled(self) -> None:
        """Wait until all late appends have arrived."""
        await asyncio.gather(*self._late)

    async def contents(self, plan_id: str) -> list[str]:
        """The contents of the plan's events, in order."""
        return [event["data"].get("content") for event in await self.events(plan_id)]

    async def until_text(self, plan_id: str, text: str) -> None:
        """Wait until the contents of the plan's events, joined, are this text."""
        async with asyncio.timeout(20):
            while "".join(await self.contents(plan_id)) != text:
                await asyncio.sleep(0.002)

    async def events(self, plan_id: str) -> list[dict[str, Any]]:
        events: list[dict[str, Any]] = []
        while page := (await self.log.read(plan_id, len(events), 1000)).payloads:
            events += [json.loads(payload) for payload in page]
        return events

    # ---- the rest has no faults

    @property
    def durability(self) -> Durability:
        return self.log.durability

    async def open(self) -> None:
        await self.log.open()

    async def close(self) -> None:
        await self.log.close()

    async def read(self, plan_id: str, after: int, limit: int = 500, max_bytes: int = 1024 * 1024) -> Page:
        return await self.log.read(plan_id, after, limit, max_bytes)

    async def heads(self, plan_ids: Collection[str]) -> Mapping[str, Head]:
        return await self.log.heads(plan_ids)

    async def watch(self, plan_id: str, watcher: Watcher) -> Watch:
        return await self.log.watch(plan_id, watcher)

    async def checkpoint(self, plan_id: str) -> Checkpoint | None:
        return await self.log.checkpoint(plan_id)

    async def keep_checkpoint(self, plan_id: str, checkpoint: Checkpoint, window: int) -> bool:
        return await self.log.keep_checkpoint(plan_id, checkpoint, window)

    async def plans(
        self, *, owner: str | None = None, label: str | None = None, cursor: str | None = None, limit: int = 50
    ) -> PlanPage:
        return await self.log.plans(owner=owner, label=label, cursor=cursor, limit=limit)

    async def delete(self, plan_id: str) -> bool:
        return await self.log.delete(plan_id)
