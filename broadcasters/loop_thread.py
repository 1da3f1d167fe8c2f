"""A thread with a broadcaster and its event loop, for synchronous callers, across forks and up to interpreter exit.

Before a fork, every thread here closes its log, so that the child inherits no connection (two processes must not share
a SQLite handle or a socket); the parent opens it again with the next event. The child does not touch what it inherited,
for even freeing it might reach the parent's event loop.
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

__all__ = ["NO_FORK", "LoopThread"]

T = TypeVar("T")

EXIT_PATIENCE: Final = 5.0
"""Longest time, in seconds, that interpreter exit waits for events on their way."""
FORK_PATIENCE: Final = 2.0
"""Longest time, in seconds, that a fork waits for logs to be closed."""


class LoopThread:
    """A broadcaster with an event loop in a thread, which starts at once. `stop` it, or interpreter exit does."""

    def __init__(self, make: Callable[[], Broadcaster]) -> None:
        self.broadcaster = make()
        self.left_behind = False
        """True in a forked child: the thread exists in the parent only."""
        self._stopped = False
        self._holding: futures.Future[None] | None = None
        self._loop = asyncio.SelectorEventLoop()
        self._thread = threading.Thread(target=self._run, name="plancast broadcaster", daemon=True)
        with NO_FORK:
            self._thread.start()
            _threads.add(self)

    def call(self, coroutine: Coroutine[Any, Any, T], patience: float | None) -> T:
        """Run it in the thread's event loop, and return its result, waiting at most `patience` seconds, if given."""
        return self._result(self._submit(coroutine), patience)

    def stop(self, patience: float) -> None:
        """Close the broadcaster and end the thread."""
        with NO_FORK:
            if self not in _threads:
                return
            _threads.discard(self)
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
            raise BroadcasterClosed("this broadcaster is closed; send through one that is open") from None

    def _result(self, future: futures.Future[T], patience: float | None) -> T:
        try:
            return future.result(patience)
        except futures.CancelledError:
            raise BroadcasterClosed(
                "the broadcaster was closed meanwhile; whether this event was stored is unknown"
            ) from None
        except TimeoutError:
            if future.done() or patience is None:
                raise
            raise LogUnavailable(f"no answer within {patience:g} s; whether this event was stored is unknown") from None
        finally:
            future.cancel()

    def _run(self) -> None:
        loop = self._loop
        try:
            loop.run_forever()
            loop.run_until_complete(_cancel_tasks())
            loop.run_until_complete(loop.shutdown_asyncgens())
        finally:
            loop.close()

    def hold(self) -> futures.Future[None] | None:
        """Begin to close the log before a fork; None where that can't be waited for."""
        if threading.current_thread() is self._thread or not self._thread.is_alive():
            return None
        self._holding = self._submit(self.broadcaster.hold())
        return self._holding

    def resume(self) -> None:
        if self._holding:
            self._holding.cancel()  # if it took too long
        with suppress(RuntimeError):  # the loop was closed
            self._loop.call_soon_threadsafe(self.broadcaster.resume)


async def _cancel_tasks() -> None:
    rest = asyncio.all_tasks() - {asyncio.current_task()}
    for task in rest:
        task.cancel()
    await asyncio.gather(*rest, return_exceptions=True)


_threads: set[LoopThread] = set()
_left_behind: list[LoopThread] = []
NO_FORK = threading.RLock()
"""Held while a thread starts or ends, and during a fork."""


def _before_fork() -> None:
    NO_FORK.acquire()
    futures.wait([future for thread in _threads if (future := thread.hold())], timeout=FORK_PATIENCE)


def _in_parent() -> None:
    for thread in _threads:
        thread.resume()
    NO_FORK.release()


def _in_child() -> None:
    for thread in _threads:
        thread.left_behind = True
    _left_behind.extend(_threads)
    _threads.clear()
    NO_FORK.release()


def _at_exit() -> None:
    for thread in list(_threads):
        with suppress(Exception):  # no caller is left to raise it in
            thread.stop(EXIT_PATIENCE)


# These take locks before forks, and must do so after the logs are closed.
import_module("concurrent.futures.thread")
import_module("broadcasters.log.sqlite.file")
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_in_parent, after_in_child=_in_child)
atexit.register(_at_exit)
