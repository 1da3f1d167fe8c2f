"""A broadcaster with an event loop and a thread of its own, for callers that have no event loop.

Forks: before one, every station here lets go of its log, so that the child inherits no connection (a copied SQLite
handle would be poison, a copied socket would mix two talks); the parent opens it again with the next event. The child
leaves the copies it got untouched, for even to destroy them might reach the parent's event loop, and begins its own.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
from collections.abc import Callable, Coroutine
from concurrent import futures
from contextlib import suppress
from importlib import import_module
from typing import Any, Final, TypeVar

from broadcasters.broadcaster import Broadcaster
from broadcasters.errors import BroadcasterClosed, LogUnavailable

__all__ = ["Station", "no_fork"]

T = TypeVar("T")

EXIT_PATIENCE: Final = 5.0
"""Seconds that interpreter exit waits for what is on its way."""
FORK_PATIENCE: Final = 2.0
"""Seconds that a fork waits for the logs to be let go of."""


class Station:
    """Begun at once. `stop` it; otherwise interpreter exit does."""

    def __init__(self, make: Callable[[], Broadcaster]) -> None:
        self.broadcaster = make()
        self.left_behind = False
        """True in a forked child: its thread exists in the parent only."""
        self._stopped = False
        self._holding: futures.Future[None] | None = None
        self._loop = asyncio.SelectorEventLoop()
        self._thread = threading.Thread(target=self._run, name="plancast broadcaster", daemon=True)
        with no_fork:
            self._thread.start()
            _stations.add(self)

    def call(self, coroutine: Coroutine[Any, Any, T], patience: float) -> T:
        """Run it in the station's event loop, and wait for its result, but only so long."""
        return self._result(self._submit(coroutine), patience)

    def stop(self, patience: float) -> None:
        """Close the broadcaster, end the thread."""
        with no_fork:
            if self not in _stations:
                return
            _stations.discard(self)
        closing = self._submit(self.broadcaster.close())
        self._stopped = True
        try:
            self._result(closing, patience)
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(patience)

    def _submit(self, coroutine: Coroutine[Any, Any, T]) -> futures.Future[T]:
        try:
            if self.left_behind or self._stopped:
                raise RuntimeError
            return asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        except RuntimeError:
            coroutine.close()
            raise BroadcasterClosed("this broadcaster is closed; say it through one that is open") from None

    def _result(self, future: futures.Future[T], patience: float) -> T:
        try:
            return future.result(patience)
        except futures.CancelledError:
            raise BroadcasterClosed(
                "the broadcaster was closed meanwhile; whether this was stored is unknown"
            ) from None
        except TimeoutError:
            if future.done():
                raise
            raise LogUnavailable(f"no answer within {patience:g} s; whether this was stored is unknown") from None
        finally:
            future.cancel()

    def _run(self) -> None:
        loop = self._loop
        try:
            loop.run_forever()
            loop.run_until_complete(_cancel_the_rest())
            loop.run_until_complete(loop.shutdown_asyncgens())
        finally:
            loop.close()

    # ---- forks

    def hold(self) -> futures.Future[None] | None:
        """Have the log let go of; None where that can't be waited for."""
        if threading.current_thread() is self._thread or not self._thread.is_alive():
            return None
        self._holding = self._submit(self.broadcaster.hold())
        return self._holding

    def resume(self) -> None:
        if self._holding:
            self._holding.cancel()  # if it took too long
        with suppress(RuntimeError):  # it was stopped
            self._loop.call_soon_threadsafe(self.broadcaster.resume)


async def _cancel_the_rest() -> None:
    rest = asyncio.all_tasks() - {asyncio.current_task()}
    for task in rest:
        task.cancel()
    await asyncio.gather(*rest, return_exceptions=True)


_stations: set[Station] = set()
_left_behind: list[Station] = []
no_fork = threading.RLock()
"""Held while a station begins or ends, and from before a fork until after it."""


def _before_fork() -> None:
    no_fork.acquire()
    futures.wait([future for station in _stations if (future := station.hold())], timeout=FORK_PATIENCE)


def _in_parent() -> None:
    for station in _stations:
        station.resume()
    no_fork.release()


def _in_child() -> None:
    for station in _stations:
        station.left_behind = True
    _left_behind.extend(_stations)
    _stations.clear()
    no_fork.release()


def _at_exit() -> None:
    for station in list(_stations):
        with suppress(Exception):  # nobody is left to be told
            station.stop(EXIT_PATIENCE)


# These take locks before forks, and must do so after we let go of the logs.
import_module("concurrent.futures.thread")
import_module("broadcasters.log.sqlite.file")
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_in_parent, after_in_child=_in_child)
atexit.register(_at_exit)
