"""The embedded log's tail: one thread that finds what was appended, by this process or another."""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from broadcasters.errors import LogError, LogUnavailable
from broadcasters.log.contract import Watch, Watcher
from broadcasters.log.sqlite import file as sqlite_file
from broadcasters.log.sqlite.file import SqliteConnection, SqliteFile
from broadcasters.log.sqlite.queries import heads_of, page_of
from broadcasters.log.watched import WatchedPlan

__all__ = ["SqliteTail"]

BEAT_S: Final = 0.02
"""How often to check for appends of other processes while a plan is watched."""
AGAIN_S: Final = 0.25
"""Pause before a tail that broke is tried again."""
PAGE_EVENTS: Final = 500
PAGE_BYTES: Final = 1024 * 1024
CLOSED: Final = "the log was closed; open it again"

News: TypeAlias = tuple[WatchedPlan, Callable[[WatchedPlan], None]]
"""A plan, and the call that reports something to its watchers."""


@dataclass(slots=True)
class _Followed:
    """A plan that the thread follows, and the position up to which its watchers have the events."""

    plan: WatchedPlan
    epoch: str = ""
    offset: int = 0


class SqliteTail:
    """Calls watchers in the event loop for what a thread of its own finds in the file.

    Appends of this process and of others take the same path: the thread finds both every `BEAT_S`, and a commit here
    only wakes it at once. The thread waits until the loop has taken what it found, so a busy loop needs no memory.
    """

    def __init__(self, file: SqliteFile) -> None:
        self._loop = asyncio.get_running_loop()
        self._plans: dict[str, WatchedPlan] = {}
        self._ended = self._loop.create_future()
        self._closing = threading.Event()
        self._wake = threading.Event()
        self._taken = threading.Event()
        self._requests: queue.SimpleQueue[tuple[WatchedPlan, bool]] = queue.SimpleQueue()
        """Plans to follow (True), or no longer to follow."""
        # The rest belongs to the thread.
        self._connection = SqliteConnection(file, wait_s=file.patience_s)
        self._db: sqlite3.Connection | None = None
        self._followed: dict[str, _Followed] = {}
        self._activity = 0
        self._version = -1
        self._standing = True
        self._thread = threading.Thread(target=self._run, name="plancast-log-tail", daemon=True)
        self._thread.start()

    def look(self) -> None:
        """Wake the thread after a commit. Can be called in any thread."""
        if self._followed:
            self._wake.set()

    # In the event loop.

    async def watch(self, plan_id: str, watcher: Watcher) -> Watch:
        """Call the watcher for every later append."""
        if self._closing.is_set():
            raise LogUnavailable(CLOSED)
        plan = self._plans.get(plan_id) or self._plans.setdefault(plan_id, WatchedPlan(plan_id, self._deserted))
        hold = plan.take(watcher)
        try:
            if not hold.stands.done():
                self._request(plan, follow=True)
            await hold.stands
        except BaseException:
            plan.release(hold)
            raise
        return hold

    async def close(self) -> None:
        """Call no watcher any more. The thread has ended when this returns."""
        plans, self._plans = self._plans, {}
        for plan in plans.values():
            plan.end(LogUnavailable(CLOSED))
        self._closing.set()
        self._wake.set()
        self._taken.set()
        await asyncio.shield(self._ended)
        self._thread.join()

    def _deserted(self, plan: WatchedPlan) -> None:
        if self._plans.get(plan.plan_id) is plan:
            del self._plans[plan.plan_id]
            self._request(plan, follow=False)

    def _request(self, plan: WatchedPlan, *, follow: bool) -> None:
        self._requests.put((plan, follow))
        self._wake.set()

    def _report(self, news: Sequence[News]) -> None:
        try:
            for plan, call in news:
                call(plan)
        finally:
            self._taken.set()

    def _fail(self, plan: WatchedPlan, error: LogError) -> None:
        plan.fail(error)
        if not plan.held:
            self._deserted(plan)

    # In the thread.

    def _run(self) -> None:
        try:
            while not self._closing.is_set() and not self._loop.is_closed():
                self._wake.wait(self._pause())
                self._wake.clear()
                with self._connection.in_use:
                    self._turn()
        finally:
            self._connection.end()
            self._refuse_requests(LogUnavailable(CLOSED))
            self._to_loop(self._ended.set_result, None)

    def _pause(self) -> float:
        if not self._standing:
            return AGAIN_S
        return BEAT_S if self._followed else sqlite_file.LOOK_S

    def _turn(self) -> None:
        try:
            db = self._connection.db()
            if db is not self._db:
                self._start(db)
        except Exception as error:
            self._break()
            self._refuse_requests(self._as_log_error(error))
            return
        try:
            self._take_requests(db)
            if self._followed:
                self._look(db)
        except Exception:  # after any error, the watchers must not wait for a tail that has ended
            self._break()

    def _start(self, db: sqlite3.Connection) -> None:
        """Continue from the current heads, and report `lost` and `resumed`: events since the last look may be missing."""
        if self._db is not None and self._standing:  # another file is at the path
            self._send([(followed.plan, WatchedPlan.fall) for followed in self._followed.values()])
        self._start_at_head(db)
        self._followed = {plan_id: _at_head(db, followed.plan) for plan_id, followed in self._followed.items()}
        if self._db is not None or not self._standing:
            self._send([(followed.plan, WatchedPlan.stand) for followed in self._followed.values()])
        self._db = db
        self._standing = True

    def _start_at_head(self, db: sqlite3.Connection) -> None:
        (self._activity,) = db.execute("SELECT activity FROM log").fetchone()
        self._version = -1

    def _break(self) -> None:
        self._connection.close()
        if self._standing:
            self._standing = False
            self._send([(followed.plan, WatchedPlan.fall) for followed in self._followed.values()])

    def _as_log_error(self, error: Exception) -> LogError:
        if isinstance(error, LogError):
            return error
        if isinstance(error, sqlite3.Error):
            return self._connection.file.error(error)
        return LogUnavailable(f"the tail of the log {self._connection.file.path} failed: {error!r}")

    def _take_requests(self, db: sqlite3.Connection) -> None:
        while not self._requests.empty():
            plan, follow = self._requests.get()
            if not follow:
                self._followed.pop(plan.plan_id, None)
                continue
            try:
                self._follow(db, plan)
            except Exception as error:
                self._to_loop(self._fail, plan, self._as_log_error(error))
                raise
            self._to_loop(plan.stand)

    def _follow(self, db: sqlite3.Connection, plan: WatchedPlan) -> None:
        if not self._followed:
            self._start_at_head(db)
        if plan.plan_id not in self._followed:
            self._followed[plan.plan_id] = _at_head(db, plan)

    def _refuse_requests(self, error: LogError) -> None:
        while not self._requests.empty():
            plan, follow = self._requests.get()
            if follow:
                self._to_loop(self._fail, plan, type(error)(*error.args))
            else:
                self._followed.pop(plan.plan_id, None)

    def _look(self, db: sqlite3.Connection) -> None:
        (version,) = db.execute("PRAGMA data_version").fetchone()
        if version == self._version:
            return
        deleted, active, activity = _since(db, self._activity)
        self._send([(plan, WatchedPlan.deleted) for plan in self._restarted(deleted)])
        news: list[News] = []
        size = 0
        for plan_id in active:
            if followed := self._followed.get(plan_id):
                for call, length in _read(db, followed):
                    news.append((followed.plan, call))
                    size += length
                    if size >= PAGE_BYTES:
                        self._send(news)
                        news, size = [], 0
        self._send(news)
        self._activity, self._version = activity, version

    def _restarted(self, deleted: Sequence[str]) -> Iterator[WatchedPlan]:
        """The watched ones of these plans; they are followed from their beginning."""
        for plan_id in deleted:
            if followed := self._followed.get(plan_id):
                followed.epoch, followed.offset = "", 0
                yield followed.plan

    def _send(self, news: Sequence[News]) -> None:
        """Hand it to the loop, and wait until it is taken. (The loop may fork meanwhile, so it must be allowed to.)"""
        if news:
            self._taken.clear()
            self._to_loop(self._report, news)
            self._connection.in_use.release()
            if not self._closing.is_set():
                self._taken.wait()
            self._connection.in_use.acquire()

    def _to_loop(self, call: Callable[..., object], *args: object) -> None:
        try:
            self._loop.call_soon_threadsafe(call, *args)
        except RuntimeError:  # the loop is closed, and no watcher is left
            self._closing.set()
            self._taken.set()


def _at_head(db: sqlite3.Connection, plan: WatchedPlan) -> _Followed:
    return _Followed(plan, *heads_of(db, [plan.plan_id])[plan.plan_id].position)


def _read(db: sqlite3.Connection, followed: _Followed) -> Iterator[tuple[Callable[[WatchedPlan], None], int]]:
    """The calls for the events that the watchers don't have yet, page by page, with their bytes."""
    while True:
        page = page_of(db, followed.plan.plan_id, followed.offset, PAGE_EVENTS, PAGE_BYTES)
        lineage = page.head.lineage
        begun_again = followed.epoch and not lineage.contains(followed.epoch)  # the next look finds the deletion
        if begun_again or not page.payloads:
            return
        followed.epoch, followed.offset = lineage.epoch, page.first + len(page.payloads) - 1
        yield _arrived(lineage.epoch, page.first, page.payloads), sum(map(len, page.payloads))
        if followed.offset >= page.head.offset:
            return


def _since(db: sqlite3.Connection, activity: int) -> tuple[list[str], list[str], int]:
    """Plans deleted since then, plans appended to, and the latest activity, in one view."""
    db.execute("BEGIN")
    try:
        deleted = db.execute(
            "SELECT plan_id FROM deletions WHERE activity > ? ORDER BY activity", (activity,)
        ).fetchall()
        active = db.execute("SELECT plan_id FROM plans WHERE activity > ? ORDER BY activity", (activity,)).fetchall()
        (activity,) = db.execute("SELECT activity FROM log").fetchone()
    finally:
        db.execute("COMMIT")
    return [row[0] for row in deleted], [row[0] for row in active], activity


def _arrived(epoch: str, first: int, payloads: Sequence[bytes]) -> Callable[[WatchedPlan], None]:
    return lambda plan: plan.arrived(epoch, first, payloads)
