"""Comparing heads for all who follow plans in one process: one call to the log a beat, however many they are."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Collection, Mapping
from contextlib import asynccontextmanager
from typing import Final, Protocol

from broadcasters.errors import LogError
from broadcasters.log.contract import Head, PlanLog
from broadcasters.position import Position
from broadcasters.supervision import Supervisor

__all__ = ["Beat", "Reader", "beating"]

HEADS_AT_ONCE: Final = 500
IN_FLIGHT_S: Final = 0.25
"""What the log has and a reader hasn't may be on its way: only what is missing for longer was lost."""


class Reader(Protocol):
    """One who follows a plan. None of these blocks or raises."""

    @property
    def plan_id(self) -> str: ...

    @property
    def place(self) -> Position:
        """Where it stands."""
        ...

    @property
    def waits(self) -> bool:
        """It has nothing to hand on and is not about to read: what the log has beyond its place, it missed."""
        ...

    def doubt(self) -> None:
        """Something may be missing: read the log."""


class Beat:
    """Compares the heads of its readers' plans with where they stand: every `beat_s` seconds, and `soon` when asked to.

    A reader that missed something has to read the log; so has each of them when the log does not answer.
    """

    def __init__(self, log: PlanLog, beat_s: float) -> None:
        self.readers: set[Reader] = set()
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
        known = {reader: reader.place for reader in self.readers if reader.waits}
        try:
            heads = await self._heads({reader.plan_id for reader in known})
        except Exception as error:
            for reader in known:
                reader.doubt()
            if isinstance(error, LogError):  # each reader meets it by itself, and says so
                return
            raise
        if any(_missed(reader.place, place, heads[reader.plan_id]) for reader, place in known.items()):
            await asyncio.sleep(IN_FLIGHT_S)
        for reader, place in known.items():
            if reader.waits and _missed(reader.place, place, heads[reader.plan_id]):
                reader.doubt()

    async def _heads(self, plan_ids: Collection[str]) -> Mapping[str, Head]:
        asked = sorted(plan_ids)
        heads: dict[str, Head] = {}
        for at in range(0, len(asked), HEADS_AT_ONCE):
            heads.update(await self._log.heads(asked[at : at + HEADS_AT_ONCE]))
        return heads


def _missed(place: Position, known: Position, head: Head) -> bool:
    """The log stood at `head` when the reader was at `known`, or later; now the reader is at `place`."""
    return head.lineage.epoch != place.epoch or not known.offset <= head.offset <= place.offset


_beats: Final[dict[tuple[PlanLog, asyncio.AbstractEventLoop, float], Beat]] = {}
"""Those in use. A log belongs to one event loop."""


@asynccontextmanager
async def beating(log: PlanLog, beat_s: float) -> AsyncGenerator[Beat]:
    """The beat that everybody shares who follows plans of this log. It ends when the last of them leaves."""
    key = log, asyncio.get_running_loop(), beat_s
    beat = _beats.get(key) or _beats.setdefault(key, Beat(log, beat_s))
    beat.users += 1
    try:
        yield beat
    finally:
        beat.users -= 1
        if not beat.users:
            del _beats[key]
            await beat.close()
