"""Where plans are kept: `log_of` makes a log, and `LazyLog` opens one when it is first used."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from broadcasters.errors import BroadcasterClosed, LogError, LogMisconfigured, LogUnavailable
from broadcasters.log.contract import PlanLog

if TYPE_CHECKING:
    from redis.asyncio import Redis, RedisCluster

__all__ = ["LazyLog", "default_url", "log_of"]


def default_url(
    variable: str = "PLANCAST_LOG", file: str = "plans.db", environ: Mapping[str, str] | None = None
) -> str:
    """The variable's value, or the one file that all programs of this user share when nothing is configured.

    Args:
        variable: The environment variable.
        file: The file's name.
        environ: The environment to read; by default that of this process.
    """
    given = (os.environ if environ is None else environ).get(variable, "").strip()
    return given or f"sqlite:///{_home() / '.plancast' / file}"


def log_of(url: str | Redis | RedisCluster | None = None) -> PlanLog:
    """Make the log that a URL names. It is not open yet.

    Args:
        url: `sqlite:///…`, `redis://…`, `redis+sentinel://…`, `redis+cluster://…` (or `rediss…`) or `http://…`; by default
            PLANCAST_LOG, or a file of this user's. Or a configured client: `redis.asyncio.Redis`, also one made by
            `Sentinel.master_for`, or `RedisCluster`. The log connects as the client does (TLS, credential provider,
            database …), over connections of its own; the client stays its owner's to use and to close.

    Raises:
        LogMisconfigured: The URL can't be parsed, or names no kind of log.
    """
    if url is not None and not isinstance(url, str):
        from broadcasters.log.redis import RedisLog

        return RedisLog(url)
    url = url.strip() if url else default_url()
    match _scheme(url):
        case "sqlite":
            from broadcasters.log.sqlite import SqliteLog

            return SqliteLog(url)
        case "redis" | "rediss" | "redis+sentinel" | "rediss+sentinel" | "redis+cluster" | "rediss+cluster":
            from broadcasters.log.redis import RedisLog

            return RedisLog(url)
        case "http" | "https":
            from broadcasters.log.http import HttpLog

            return HttpLog(url)
        case scheme:
            known = "sqlite:///…, redis://…, redis+sentinel://…, redis+cluster://… or http://…"
            raise LogMisconfigured(f"unknown log {scheme or url!r}; expected PLANCAST_LOG to be one of {known}")


def _home() -> Path:
    try:
        return Path.home()
    except RuntimeError:
        raise LogMisconfigured("this user has no home directory to keep plans in; set PLANCAST_LOG") from None


def _scheme(url: str) -> str:
    try:
        return urlsplit(url).scheme
    except ValueError:  # it may hold a password, so it is not shown
        raise LogMisconfigured(
            "the log's URL (PLANCAST_LOG) can't be parsed; in a password, write [ and ] as %5B and %5D"
        ) from None


class LazyLog:
    """A log that is opened when it is first used, and can be released for a moment. Belongs to one event loop.

    Each use stands between `enter` and `leave`. `log` is opened and closed by its owner; without one, `make` makes a log
    for each opening, so that nothing of a failed or an earlier one is left.
    """

    def __init__(self, log: PlanLog | None, make: Callable[[], PlanLog]) -> None:
        self._lent = log is not None
        self._make = make
        self._log = log
        self._new = None if self._lent else make()  # here, so that a wrong url is found at once
        self._opening: asyncio.Task[None] | None = None
        self._closed = False
        self._users = 0
        self._staying: set[asyncio.Timeout] = set()
        self._unused = asyncio.Event()
        self._unused.set()
        self._free = asyncio.Event()
        self._free.set()

    async def enter(self) -> PlanLog:
        """Return the open log, or raise the `LogError` that opening it failed with. Then `leave` must be called.

        Raises:
            BroadcasterClosed: `close` was called; a reader that still runs must not open the log again.
        """
        while not self._closed and (self._log is None or not self._free.is_set()):
            await self._free.wait()
            await self._open()
        if self._closed or self._log is None:
            raise BroadcasterClosed("this broadcaster is closed; use one that is open")
        self._users += 1
        self._unused.clear()
        return self._log

    @asynccontextmanager
    async def staying(self) -> AsyncGenerator[PlanLog]:
        """Give the log to a user that stays: `hold` ends the block, with `LogUnavailable`."""
        log = await self.enter()
        stay = asyncio.timeout(None)
        try:
            async with stay:
                self._staying.add(stay)
                try:
                    yield log
                finally:
                    self._staying.discard(stay)
        except TimeoutError:
            if not stay.expired():
                raise
            raise LogUnavailable("this program closes its log for a moment") from None
        finally:
            self.leave()

    def leave(self) -> None:
        self._users -= 1
        if not self._users:
            self._unused.set()

    async def _open(self) -> None:
        """All who wait share one try."""
        if self._closed or self._log is not None:
            return
        if self._opening is None:
            self._opening = asyncio.create_task(self._try_to_open(), name="opening the log")
            self._opening.add_done_callback(lambda task: task.cancelled() or task.exception())  # marked as retrieved
        await asyncio.wait([opening := self._opening])
        if not opening.cancelled():  # as `close` does
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
        """Admit no further use, wait until the current ones end, and close the log. `resume` ends it."""
        self._free.clear()
        for stay in self._staying:
            stay.reschedule(0)
        if self._opening:
            await asyncio.wait([self._opening])
        await self._unused.wait()
        await self._close()

    def resume(self) -> None:
        self._free.set()

    async def close(self) -> None:
        """Close the log for good, even while it is used."""
        self._closed = True
        if self._opening:
            self._opening.cancel()
            await asyncio.wait([self._opening])
        await self._close()

    async def _close(self) -> None:
        if self._lent:
            return
        log, self._log = self._log, None
        if log is not None:
            await log.close()
