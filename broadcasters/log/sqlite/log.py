"""The embedded log: all plans in one file, durable on disk, shared by all programs that open it, without a server."""

from __future__ import annotations

import asyncio
import math
import sqlite3
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Final, TypeVar

from broadcasters.errors import LogError, LogUnavailable
from broadcasters.events import check_plan_id
from broadcasters.log.contract import (
    MAX_APPEND_EVENTS,
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
from broadcasters.log.sqlite.append import Append
from broadcasters.log.sqlite.file import SqliteConnection, SqliteFile
from broadcasters.log.sqlite.queries import (
    checkpoint_of,
    delete_idle,
    delete_plan,
    heads_of,
    keep_checkpoint,
    page_of,
    plans_of,
)
from broadcasters.log.sqlite.tail import SqliteTail
from broadcasters.log.sqlite.writer import Writer
from broadcasters.supervision import Part, Supervisor

__all__ = ["SqliteLog"]

T = TypeVar("T")

TIDY_FIRST_S: Final = 30.0
TIDY_EVERY_S: Final = 600.0
TIDY_PLANS: Final = 20
"""Plans deleted in one transaction, so that appends don't wait long."""


class SqliteLog(PlanLog):
    """The log of `sqlite:///plans.db` or `sqlite:////var/lib/plancast/plans.db`.

    Options: `?ttl=30` days that a plan is kept after its last event (`never` deletes none), `&timeout=5` seconds to
    wait for another process that writes. A writer thread commits all waiting appends in one transaction, a reader
    thread reads, and a tail thread finds what was appended, by this process or another.
    """

    def __init__(self, url: str) -> None:
        self._file = SqliteFile.at(url)
        self._opened: _OpenLog | None = None

    @property
    def parts(self) -> Mapping[str, Part]:
        return {} if self._opened is None else self._opened.supervisor.parts

    @property
    def durability(self) -> Durability:
        return "disk"

    async def open(self) -> None:
        if self._opened is None:
            reader = _ReaderThread(self._file)
            try:
                await reader.run(lambda _: None)
            except BaseException:
                await reader.close()
                raise
            self._opened = _OpenLog(self._file, reader)

    async def close(self) -> None:
        opened, self._opened = self._opened, None
        if opened is not None:
            await opened.close()

    async def append(self, plan_id: str, producer: str, seq: int, entries: Sequence[Entry], facts: Facts) -> Appended:
        check_plan_id(plan_id)
        if not 0 < len(entries) <= MAX_APPEND_EVENTS:
            raise ValueError(f"expected 1 to {MAX_APPEND_EVENTS} entries; got {len(entries)}")
        return await self._now_open.writer.append(Append(plan_id, producer, seq, entries, facts))

    async def read(self, plan_id: str, after: int, limit: int = 500, max_bytes: int = 1024 * 1024) -> Page:
        check_plan_id(plan_id)
        return await self._now_open.reader.run(lambda db: page_of(db, plan_id, after, limit, max_bytes))

    async def heads(self, plan_ids: Collection[str]) -> Mapping[str, Head]:
        for plan_id in plan_ids:
            check_plan_id(plan_id)
        return await self._now_open.reader.run(lambda db: heads_of(db, plan_ids))

    async def watch(self, plan_id: str, watcher: Watcher) -> Watch:
        return await self._now_open.tail.watch(check_plan_id(plan_id), watcher)

    async def checkpoint(self, plan_id: str) -> Checkpoint | None:
        check_plan_id(plan_id)
        return await self._now_open.reader.run(lambda db: checkpoint_of(db, plan_id))

    async def keep_checkpoint(self, plan_id: str, checkpoint: Checkpoint, window: int) -> bool:
        check_plan_id(plan_id)
        return await self._now_open.writer.run(
            lambda db: keep_checkpoint(db, plan_id, checkpoint, window), invalidate=plan_id
        )

    async def plans(
        self, *, owner: str | None = None, label: str | None = None, cursor: str | None = None, limit: int = 50
    ) -> PlanPage:
        return await self._now_open.reader.run(lambda db: plans_of(db, owner, label, cursor, limit))

    async def delete(self, plan_id: str) -> bool:
        check_plan_id(plan_id)
        return await self._now_open.writer.run(lambda db: delete_plan(db, plan_id), invalidate=plan_id)

    @property
    def _now_open(self) -> _OpenLog:
        if self._opened is None:
            raise LogUnavailable(f"the log {self._file.path} is not open")
        return self._opened


class _OpenLog:
    """The three threads of an open log, and the task that deletes old plans."""

    def __init__(self, file: SqliteFile, reader: _ReaderThread) -> None:
        self.reader = reader
        self.tail = SqliteTail(file)
        self.writer = Writer(file, committed=self.tail.look)
        self.supervisor = Supervisor()
        if file.ttl_s < math.inf:
            tidy = partial(self._tidy, file.ttl_s)
            self.supervisor.repeat("embedded log: removal of old plans", tidy, every=TIDY_EVERY_S, first=TIDY_FIRST_S)

    async def close(self) -> None:
        await self.supervisor.close()
        await self.writer.close()
        await self.tail.close()
        await self.reader.close()

    async def _tidy(self, ttl_s: float) -> None:
        with suppress(LogError):  # the next append raises it, too
            while await self.writer.run(lambda db: delete_idle(db, ttl_s, TIDY_PLANS)):
                pass


class _ReaderThread:
    """A thread that reads, with a connection of its own."""

    def __init__(self, file: SqliteFile) -> None:
        self._connection = SqliteConnection(file, wait_s=file.patience_s)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="plancast-log-reader")

    async def run(self, read: Callable[[sqlite3.Connection], T]) -> T:
        try:
            reading = asyncio.get_running_loop().run_in_executor(self._thread, self._read, read)
        except RuntimeError as error:  # the thread has ended
            raise LogUnavailable(
                f"the log {self._connection.file.path} can't be read ({error}); open it again"
            ) from error
        return await reading

    async def close(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, self._connection.end)
        self._thread.shutdown()

    def _read(self, read: Callable[[sqlite3.Connection], T]) -> T:
        try:
            with self._connection.in_use:
                return read(self._connection.db())
        except sqlite3.Error as error:
            raise self._connection.file.error(error) from error
