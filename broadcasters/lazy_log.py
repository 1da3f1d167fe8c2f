"""A log that is opened when it is first needed, and can be let go of for a moment."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from broadcasters.errors import LogError
from broadcasters.log.contract import PlanLog

__all__ = ["LazyLog"]


class LazyLog:
    """Every use of the log stands between `enter` and `leave`. Belongs to one event loop.

    Made of a log that somebody else opened and closes, or of a function that makes a log: then each opening makes a
    new one, so that nothing of a failed or a former one is left.
    """

    def __init__(self, log: PlanLog | None, make: Callable[[], PlanLog]) -> None:
        self._lent = log is not None
        self._make = make
        self._log = log
        self._new = None if self._lent else make()  # here and now, so that a bad url is found at once
        self._opening: asyncio.Task[None] | None = None
        self._inside = 0
        self._empty = asyncio.Event()
        self._empty.set()
        self._free = asyncio.Event()
        self._free.set()

    async def enter(self) -> PlanLog:
        """The log, open; or the `LogError` that keeps it from being so. Then `leave` is to be called."""
        while self._log is None or not self._free.is_set():
            await self._free.wait()
            await self._open()
        self._inside += 1
        self._empty.clear()
        return self._log

    def leave(self) -> None:
        self._inside -= 1
        if not self._inside:
            self._empty.set()

    async def _open(self) -> None:
        """Many may wait for one try."""
        if self._log is not None:
            return
        if self._opening is None:
            self._opening = asyncio.create_task(self._try_to_open(), name="opening the log")
            self._opening.add_done_callback(lambda task: task.cancelled() or task.exception())  # told, if anybody waits
        await asyncio.wait([opening := self._opening])
        opening.result()

    async def _try_to_open(self) -> None:
        log, self._new = self._new, None
        log = log or self._make()
        try:
            await log.open()
            self._log = log
        except BaseException:
            with suppress(LogError, OSError):
                await log.close()
            raise
        finally:
            self._opening = None

    async def hold(self) -> None:
        """Let nobody in any more, wait until nobody is inside, and let go of the log. `resume` ends it."""
        self._free.clear()
        if self._opening:
            await asyncio.wait([self._opening])
        await self._empty.wait()
        await self._let_go()

    def resume(self) -> None:
        self._free.set()

    async def close(self) -> None:
        """Let go of the log, whoever is inside."""
        if self._opening:
            self._opening.cancel()
            await asyncio.wait([self._opening])
        await self._let_go()

    async def _let_go(self) -> None:
        if self._lent:
            return
        log, self._log = self._log, None
        if log is not None:
            await log.close()
