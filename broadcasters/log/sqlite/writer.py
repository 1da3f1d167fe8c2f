"""The embedded log's writer: one thread that commits all waiting appends in one transaction."""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, TypeVar

from broadcasters.errors import InvalidEvent, LogError, LogUnavailable
from broadcasters.log.contract import Appended
from broadcasters.log.sqlite import file as sqlite_file
from broadcasters.log.sqlite.append import Append, Appender
from broadcasters.log.sqlite.file import SqliteConnection, SqliteFile

__all__ = ["Writer"]

T = TypeVar("T")

WAITING_BYTES: Final = 16 * 1024 * 1024
"""Bytes that may wait for the disk; beyond it, further appends wait for room."""
ENTRY_BYTES: Final = 256
"""Memory of an entry besides its payload."""
GROUP_APPENDS: Final = 4096
CLOSED: Final = "the log was closed before this was stored; open it again and repeat the call"


class _Waiting:
    """An append and the future of its answer."""

    __slots__ = ("append", "future", "weight")

    def __init__(self, append: Append, future: asyncio.Future[Appended]) -> None:
        self.append = append
        self.future = future
        self.weight = sum([len(entry.payload) + ENTRY_BYTES for entry in append.entries])


class Writer:
    """Takes appends from the event loop, and answers once they are on disk.

    The appends of one turn of the loop are handed over together, and all that wait when the disk is free are committed
    in one transaction.
    """

    def __init__(self, file: SqliteFile, committed: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._connection = SqliteConnection(file, wait_s=0)  # _begun waits instead
        self._committed = committed
        self._appender = Appender()
        self._queue: queue.SimpleQueue[list[_Waiting] | Callable[[], None] | None] = queue.SimpleQueue()
        self._turn: list[_Waiting] = []
        self._weight = 0
        self._room = asyncio.Event()
        self._room.set()
        self._closing = threading.Event()
        self._ended = self._loop.create_future()
        self._thread = threading.Thread(target=self._run, name="plancast-log-writer", daemon=True)
        self._thread.start()

    @property
    def waiting_bytes(self) -> int:
        """Approximate memory of appends that are not on disk yet: the bound, and at most one append more."""
        return self._weight

    async def append(self, append: Append) -> Appended:
        """The answer to the append, once it is on disk."""
        waiting = _Waiting(append, self._loop.create_future())
        if not self._room.is_set() or self._closing.is_set():
            await self._wait_for_room()
        self._take(waiting.weight)
        if not self._turn:
            self._loop.call_soon(self._hand_over)
        self._turn.append(waiting)
        return await waiting.future

    async def run(self, work: Callable[[sqlite3.Connection], T], invalidate: str | None = None) -> T:
        """Run `work` in a transaction of its own. `invalidate` names a plan that it changes."""
        await self._wait_for_room()
        future: asyncio.Future[T] = self._loop.create_future()

        def job() -> None:
            answer: T | Exception
            try:
                answer = self._transaction(work)
            except Exception as error:  # the caller raises it
                answer = self._as_caller_error(error)
            if invalidate is not None:
                self._appender.invalidate(invalidate)
            self._to_loop(_settle, future, answer)

        self._hand_over()
        self._queue.put(job)
        return await future

    async def close(self) -> None:
        """Finish the transaction under way; later ones fail. The thread has ended when this returns."""
        if not self._closing.is_set():
            self._closing.set()
            self._room.set()
            self._hand_over()
            self._queue.put(None)
        await asyncio.shield(self._ended)
        self._thread.join()

    # In the event loop.

    async def _wait_for_room(self) -> None:
        while not self._room.is_set():
            await self._room.wait()
        if self._closing.is_set():
            raise LogUnavailable(CLOSED)

    def _take(self, weight: int) -> None:
        self._weight += weight
        if self._weight > WAITING_BYTES:
            self._room.clear()

    def _hand_over(self) -> None:
        if self._turn:
            self._queue.put(self._turn)
            self._turn = []

    def _settle_group(self, group: list[_Waiting], answers: Sequence[Appended | Exception]) -> None:
        for waiting, answer in zip(group, answers, strict=True):
            self._weight -= waiting.weight
            _settle(waiting.future, answer)
        if self._weight <= WAITING_BYTES:
            self._room.set()

    # In the thread.

    def _run(self) -> None:
        try:
            while self._serve():
                pass
        finally:
            self._connection.end()
            self._to_loop(self._ended.set_result, None)

    def _serve(self) -> bool:
        """Wait, then serve all that has arrived: appends together, a job by itself. False at the end."""
        group: list[_Waiting] = []
        item = self._next()
        while isinstance(item, list):
            group += item
            if len(group) >= GROUP_APPENDS or self._queue.empty():
                break
            item = self._queue.get()
        if group:
            self._to_loop(self._settle_group, group, self._answers(group))
        if item is None:
            return False
        if not isinstance(item, list):
            item()
        return True

    def _next(self) -> list[_Waiting] | Callable[[], None] | None:
        while not self._loop.is_closed():
            with suppress(queue.Empty):
                return self._queue.get(timeout=sqlite_file.LOOK_S)
        return None

    def _answers(self, group: list[_Waiting]) -> Sequence[Appended | Exception]:
        appends = [waiting.append for waiting in group]
        try:
            return self._transaction(lambda db: self._appender.append(db, appends))
        except Exception as error:  # the callers raise it
            if len(group) > 1 and not _concerns_all(error):  # one of them failed; the others must not
                return [self._answers([waiting])[0] for waiting in group]
            return [self._as_caller_error(error) for _ in group]

    def _transaction(self, work: Callable[[sqlite3.Connection], T]) -> T:
        with self._connection.in_use:
            db = self._begun()
            try:
                result = work(db)
                db.execute("COMMIT")
            except BaseException:
                self._appender.invalidate()
                self._roll_back(db)
                raise
        self._committed()
        return result

    def _begun(self) -> sqlite3.Connection:
        """Begin a transaction when that of another process has ended. (SQLite's own wait sleeps longer, and can't be
        interrupted.)"""
        db = self._connection.db()
        deadline = time.monotonic() + self._connection.file.patience_s
        pause = 0.0005
        while True:
            if self._closing.is_set():
                raise LogUnavailable(CLOSED)
            try:
                db.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                if not _is_busy(error) or time.monotonic() > deadline:
                    raise
                self._closing.wait(pause)
                pause = min(pause * 2, 0.01)
            else:
                return db

    def _roll_back(self, db: sqlite3.Connection) -> None:
        try:
            if db.in_transaction:
                db.execute("ROLLBACK")
        except sqlite3.Error:
            self._connection.close()

    def _as_caller_error(self, error: Exception) -> Exception:
        if isinstance(error, sqlite3.Error):
            return self._connection.file.error(error)
        if isinstance(error, UnicodeEncodeError):
            return InvalidEvent("append", "it has half of a surrogate pair, which UTF-8 can't encode")
        return error

    def _to_loop(self, call: Callable[..., object], *args: object) -> None:
        try:
            self._loop.call_soon_threadsafe(call, *args)
        except RuntimeError:  # the loop is closed, and no caller is left
            self._closing.set()
            self._queue.put(None)


def _settle(future: asyncio.Future[T], answer: T | Exception) -> None:
    if future.done():  # the caller was cancelled
        return
    if isinstance(answer, Exception):
        future.set_exception(answer)
    else:
        future.set_result(answer)


def _is_busy(error: sqlite3.Error) -> bool:
    return error.sqlite_errorname.startswith(("SQLITE_BUSY", "SQLITE_LOCKED"))


def _concerns_all(error: Exception) -> bool:
    """Whether any append would have failed: SQLite itself failed, or the log is closed or unusable."""
    return isinstance(error, LogError) or hasattr(error, "sqlite_errorname")
