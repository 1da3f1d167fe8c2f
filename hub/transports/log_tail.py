"""Tails over HTTP: the log's appends, for an agent that follows plans through this hub.

The buffer is small. An agent that reads too slowly misses appends and receives `lost` and `resumed`, as from any log (L6);
it must then compare heads and read.
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
from hub.transports.admission import AdmissionControl

__all__ = ["HEADERS", "LogTailStream"]

HEADERS: Final = {"Content-Type": MEDIA_TYPE, "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
BUFFER_BYTES: Final = 2 * 1024 * 1024
"""How much may wait for one agent: two full appends."""


class LogTailStream:
    """One agent's tail. Await `watch`, then read `lines`; `close` it in any case."""

    def __init__(self, log: PlanLog, admission: AdmissionControl, holder: Holder, plan_ids: Collection[str]) -> None:
        self._log = log
        self._admission = admission
        self._holder = holder
        self._plan_ids = plan_ids
        self._watches = AsyncExitStack()
        self._waiting: list[bytes] = []
        self._size = 0
        self._missed = False
        self._changed = asyncio.Event()

    async def watch(self) -> Mapping[str, Head]:
        """Watches the plans and returns their heads; `lines` has everything after them. Raises `TooManyPlans` or
        `NoRoom`."""
        self._count(len(self._plan_ids))
        for plan_id in self._plan_ids:
            watch = await self._log.watch(plan_id, _TailedPlan(self, plan_id))
            self._watches.push_async_callback(watch.close)
        return await self._log.heads(self._plan_ids)

    async def lines(
        self, heads: Mapping[str, Head], leaving: asyncio.Event, expires_at: float | None
    ) -> AsyncGenerator[bytes]:
        """Yields the tail's lines until `leaving` is set, or until the right to read them expires (Unix time)."""
        ended = asyncio.ensure_future(leaving.wait())
        try:
            yield write_standing(heads)
            while not ended.done() and (left := inf if expires_at is None else expires_at - time.time()) > 0:
                changed, beat = asyncio.ensure_future(self._changed.wait()), min(TAIL_BEAT_S, left)
                await asyncio.wait({changed, ended}, timeout=beat, return_when=asyncio.FIRST_COMPLETED)
                changed.cancel()
                yield self._take() or b"\n"
        finally:
            ended.cancel()

    def _count(self, plans: int) -> None:
        shares, registry = self._admission.shares, self._admission.registry
        shares.tail(self._holder, plans)
        self._watches.callback(shares.untail, self._holder, plans)
        registry.reserve(plans)
        self._watches.callback(registry.release, plans)

    async def close(self) -> None:
        await self._watches.aclose()

    def put(self, line: bytes) -> None:
        """Adds a line to the buffer. If it is full, everything in it is dropped, and the agent is sent `lost`."""
        if self._size + len(line) > BUFFER_BYTES and self._waiting:
            self._missed = True
            self._waiting.clear()
            self._size = 0
        self._waiting.append(line)
        self._size += len(line)
        self._changed.set()

    def _take(self) -> bytes:
        self._changed.clear()
        waiting, self._waiting, self._size = self._waiting, [], 0
        if self._missed:
            self._missed = False
            notices = [
                write_tail_state(plan_id, notice) for plan_id in self._plan_ids for notice in ("lost", "resumed")
            ]
            waiting = notices + waiting
        return b"".join(waiting)


class _TailedPlan:
    """Watcher that forwards one plan's appends to the tail."""

    def __init__(self, tail: LogTailStream, plan_id: str) -> None:
        self._tail = tail
        self._plan_id = plan_id

    def arrived(self, epoch: str, first: int, payloads: Sequence[bytes]) -> None:
        self._tail.put(write_arrived(self._plan_id, epoch, first, payloads))

    def lost(self) -> None:
        self._tail.put(write_tail_state(self._plan_id, "lost"))

    def resumed(self) -> None:
        self._tail.put(write_tail_state(self._plan_id, "resumed"))

    def deleted(self) -> None:
        self._tail.put(write_tail_state(self._plan_id, "deleted"))
