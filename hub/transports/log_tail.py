"""Tails over HTTP: what the log tells its watchers, passed on to an agent that follows plans through this hub.

Nothing is kept for long here. An agent that reads slower than plans talk misses some of it and is told so (`lost`,
`resumed`), as the log itself may do (L6): it compares heads and reads.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from contextlib import AsyncExitStack
from math import inf
from typing import Final

from broadcasters.log.contract import Head, PlanLog
from broadcasters.log.http.lines import MEDIA_TYPE, TAIL_BEAT_S, write_arrived, write_standing, write_tail_state
from hub.core.shares import Holder
from hub.transports.admission import Door

__all__ = ["HEADERS", "Tailing"]

HEADERS: Final = {"Content-Type": MEDIA_TYPE, "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
WAITING_BYTES: Final = 2 * 1024 * 1024
"""What may wait for one agent: two full appends."""


class Tailing:
    """One agent's tail. `stand` first, then `told`; `close` it in any case."""

    def __init__(self, log: PlanLog, door: Door, holder: Holder, plan_ids: Collection[str]) -> None:
        self._log = log
        self._door = door
        self._holder = holder
        self._plan_ids = plan_ids
        self._watches = AsyncExitStack()
        self._waiting: list[bytes] = []
        self._size = 0
        self._missed = False
        self._something = asyncio.Event()

    async def stand(self) -> Mapping[str, Head]:
        """Watch all of them and read their heads; later events are sent. Raises `TooManyPlans` or `NoRoom`."""
        self._count(len(self._plan_ids))
        for plan_id in self._plan_ids:
            watch = await self._log.watch(plan_id, _Ear(self, plan_id))
            self._watches.push_async_callback(watch.close)
        return await self._log.heads(self._plan_ids)

    async def told(
        self, heads: Mapping[str, Head], leaving: asyncio.Event, expires_at: float | None
    ) -> AsyncGenerator[bytes]:
        """The tail's lines, until `leaving`, or until the right to them expires (Unix time)."""
        ended = asyncio.ensure_future(leaving.wait())
        try:
            yield write_standing(heads)
            while not ended.done() and (left := inf if expires_at is None else expires_at - time.time()) > 0:
                something, beat = asyncio.ensure_future(self._something.wait()), min(TAIL_BEAT_S, left)
                await asyncio.wait({something, ended}, timeout=beat, return_when=asyncio.FIRST_COMPLETED)
                something.cancel()
                yield self._take() or b"\n"
        finally:
            ended.cancel()

    def _count(self, plans: int) -> None:
        shares, registry = self._door.shares, self._door.registry
        shares.tail(self._holder, plans)
        self._watches.callback(shares.untail, self._holder, plans)
        registry.reserve(plans)
        self._watches.callback(registry.release, plans)

    async def close(self) -> None:
        await self._watches.aclose()

    def put(self, said: bytes) -> None:
        """Let it wait for the agent; too much, and all of it is dropped, and will be known to be missing."""
        if self._size + len(said) > WAITING_BYTES and self._waiting:
            self._missed = True
            self._waiting.clear()
            self._size = 0
        self._waiting.append(said)
        self._size += len(said)
        self._something.set()

    def _take(self) -> bytes:
        self._something.clear()
        waiting, self._waiting, self._size = self._waiting, [], 0
        if self._missed:
            self._missed = False
            told = [write_tail_state(plan_id, word) for plan_id in self._plan_ids for word in ("lost", "resumed")]
            waiting = told + waiting
        return b"".join(waiting)


class _Ear:
    """Hears of one plan."""

    def __init__(self, tailing: Tailing, plan_id: str) -> None:
        self._tailing = tailing
        self._plan_id = plan_id

    def arrived(self, epoch: str, first: int, payloads: Sequence[bytes]) -> None:
        self._tailing.put(write_arrived(self._plan_id, epoch, first, payloads))

    def lost(self) -> None:
        self._tailing.put(write_tail_state(self._plan_id, "lost"))

    def resumed(self) -> None:
        self._tailing.put(write_tail_state(self._plan_id, "resumed"))

    def deleted(self) -> None:
        self._tailing.put(write_tail_state(self._plan_id, "deleted"))
