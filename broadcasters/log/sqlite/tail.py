"""The embedded log's tail: one thread that looks what has been appended, by this process or another."""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from broadcasters.errors import LogError, LogUnavailable
from broadcasters.log.contract import Watch, Watcher
from broadcasters.log.sqlite import file as sqlite_file
from broadcasters.log.sqlite.file import Opened, SqliteFile
from broadcasters.log.sqlite.read import heads_of, page_of

__all__ = ["SqliteTail"]

BEAT_S: Final = 0.02
"""How often to look whether another process appended, while somebody watches."""
AGAIN_S: Final = 0.25
"""How long to wait before a tail that broke is tried again."""
PAGE_EVENTS: Final = 500
PAGE_BYTES: Final = 1024 * 1024

News = tuple[str, Callable[[Watcher], None]]
"""Something to tell the watchers of a plan."""


@dataclass(slots=True)
class _Told:
    """How much of a plan its watchers were told."""

    epoch: str = ""
    offset: int = 0


class SqliteTail:
    """Tells watchers in the event loop what a thread of its own finds in the file.

    There is one path: what another process appended is found on the beat, and a commit of our own only makes the
    thread look at once. The thread reads on when the loop has taken what it found, so a busy loop costs no memory.
    """

    def __init__(self, file: SqliteFile) -> None:
        self._loop = asyncio.get_running_loop()
        self._watches: dict[str, list[_SqliteWatch]] = {}
        self._ended = self._loop.create_future()
        self._closing = threading.Event()
        self._wake = threading.Event()
        self._taken = threading.Event()
        self._wishes: queue.SimpleQueue[_Wish] = queue.SimpleQueue()
        # The rest belongs to the thread.
        self._opened = Opened(file, wait_s=file.patience_s)
        self._db: sqlite3.Connection | None = None
        self._told: dict[str, _Told] = {}
        self._seen = 0
        self._version = -1
        self._standing = True
        self._thread = threading.Thread(target=self._run, name="plancast-log-tail", daemon=True)
        self._thread.start()

    def look(self) -> None:
        """Something was committed. Any thread may say so."""
        if self._told:
            self._wake.set()

    # In the event loop.

    async def watch(self, plan_id: str, watcher: Watcher) -> Watch:
        """Tell the watcher of what is appended from now on."""
        watch = _SqliteWatch(self, plan_id, watcher)
        self._watches.setdefault(plan_id, []).append(watch)
        stands: asyncio.Future[None] = self._loop.create_future()
        try:
            self._wish(_Wish(plan_id, stands))
            await stands
        except BaseException:
            self.end(watch)
            raise
        return watch

    def end(self, watch: _SqliteWatch) -> None:
        """No more calls to this watcher."""
        watches = self._watches.get(watch.plan_id, [])
        if watch in watches:
            watches.remove(watch)
            if not watches:
                del self._watches[watch.plan_id]
                if not self._closing.is_set():
                    self._wish(_Wish(watch.plan_id, None))

    async def close(self) -> None:
        """No more calls to anybody. The thread has ended when this returns."""
        self._watches.clear()
        self._closing.set()
        self._wake.set()
        self._taken.set()
        await asyncio.shield(self._ended)
        self._thread.join()

    def _wish(self, wish: _Wish) -> None:
        if self._closing.is_set():
            raise LogUnavailable("the log was closed; open it again")
        self._wishes.put(wish)
        self._wake.set()

    def _tell(self, news: Sequence[News]) -> None:
        try:
            for plan_id, call in news:
                for watch in tuple(self._watches.get(plan_id, ())):
                    self._tell_one(watch, call)
        finally:
            self._taken.set()

    def _tell_one(self, watch: _SqliteWatch, call: Callable[[Watcher], None]) -> None:
        try:
            call(watch.watcher)
        except Exception as error:  # a watcher that breaks its promise shall not harm the others
            self._loop.call_exception_handler({"message": f"a watcher of {watch.plan_id} raised", "exception": error})

    # In the thread.

    def _run(self) -> None:
        try:
            while not self._closing.is_set() and not self._loop.is_closed():
                self._wake.wait(self._pause())
                self._wake.clear()
                with self._opened.in_use:
                    self._turn()
        finally:
            self._opened.end()
            self._refuse_wishes(LogUnavailable("the log was closed; open it again"))
            self._to_loop(self._ended.set_result, None)

    def _pause(self) -> float:
        if not self._standing:
            return AGAIN_S
        return BEAT_S if self._told else sqlite_file.LOOK_S

    def _turn(self) -> None:
        try:
            db = self._opened.db()
            if db is not self._db:
                self._start(db)
        except Exception as error:
            self._break()
            self._refuse_wishes(self._explained(error))
            return
        try:
            self._grant_wishes(db)
            if self._told:
                self._look(db)
        except Exception:  # whatever it was, the watchers shall not wait for a tail that has ended
            self._break()

    def _start(self, db: sqlite3.Connection) -> None:
        """Stand at the heads of now. What happened since the last look may be missing, and the watchers know it."""
        if self._db is not None and self._standing:  # another file stands at the path
            self._send([(plan_id, _say_lost) for plan_id in self._told])
        self._start_at(db)
        self._told = {plan_id: _told_now(db, plan_id) for plan_id in self._told}
        if self._db is not None or not self._standing:
            self._send([(plan_id, _say_resumed) for plan_id in self._told])
        self._db = db
        self._standing = True

    def _start_at(self, db: sqlite3.Connection) -> None:
        (self._seen,) = db.execute("SELECT activity FROM log").fetchone()
        self._version = -1

    def _break(self) -> None:
        self._opened.close()
        if self._standing:
            self._standing = False
            self._send([(plan_id, _say_lost) for plan_id in self._told])

    def _explained(self, error: Exception) -> LogError:
        if isinstance(error, LogError):
            return error
        if isinstance(error, sqlite3.Error):
            return self._opened.file.error(error)
        return LogUnavailable(f"the tail of the log {self._opened.file.path} failed: {error!r}")

    def _grant_wishes(self, db: sqlite3.Connection) -> None:
        while not self._wishes.empty():
            wish = self._wishes.get()
            if wish.stands is None:
                self._told.pop(wish.plan_id, None)
                continue
            try:
                self._begin(db, wish.plan_id)
            except Exception as error:
                self._to_loop(_settle, wish.stands, self._explained(error))
                raise
            self._to_loop(_settle, wish.stands, None)

    def _begin(self, db: sqlite3.Connection, plan_id: str) -> None:
        if not self._told:
            self._start_at(db)
        if plan_id not in self._told:
            self._told[plan_id] = _told_now(db, plan_id)

    def _refuse_wishes(self, error: LogError) -> None:
        while not self._wishes.empty():
            wish = self._wishes.get()
            if wish.stands is None:
                self._told.pop(wish.plan_id, None)
            else:
                self._to_loop(_settle, wish.stands, type(error)(*error.args))

    def _look(self, db: sqlite3.Connection) -> None:
        (version,) = db.execute("PRAGMA data_version").fetchone()
        if version == self._version:
            return
        deleted, moved, seen = _since(db, self._seen)
        self._send([(plan_id, _say_deleted) for plan_id in self._forget(deleted)])
        news: list[News] = []
        weight = 0
        for plan_id in moved:
            for say, size in self._read(db, plan_id):
                news.append((plan_id, say))
                weight += size
                if weight >= PAGE_BYTES:
                    self._send(news)
                    news, weight = [], 0
        self._send(news)
        self._seen, self._version = seen, version

    def _forget(self, deleted: Sequence[str]) -> Iterator[str]:
        for plan_id in deleted:
            if plan_id in self._told:
                self._told[plan_id] = _Told()
                yield plan_id

    def _read(self, db: sqlite3.Connection, plan_id: str) -> Iterator[tuple[Callable[[Watcher], None], int]]:
        """What its watchers were not told yet, page by page."""
        told = self._told.get(plan_id)
        while told is not None:
            page = page_of(db, plan_id, told.offset, PAGE_EVENTS, PAGE_BYTES)
            lineage = page.head.lineage
            begun_again = told.epoch and not lineage.contains(told.epoch)  # the next look finds word of it
            if begun_again or not page.payloads:
                return
            told.epoch, told.offset = lineage.epoch, page.first + len(page.payloads) - 1
            yield _say_arrived(lineage.epoch, page.first, page.payloads), sum(map(len, page.payloads))
            if told.offset >= page.head.offset:
                return

    def _send(self, news: Sequence[News]) -> None:
        """Hand it to the loop, and wait until it is taken. (The loop may be the one that forks, so it may.)"""
        if news:
            self._taken.clear()
            self._to_loop(self._tell, news)
            self._opened.in_use.release()
            if not self._closing.is_set():
                self._taken.wait()
            self._opened.in_use.acquire()

    def _to_loop(self, call: Callable[..., object], *args: object) -> None:
        try:
            self._loop.call_soon_threadsafe(call, *args)
        except RuntimeError:  # the loop is gone, and with it whoever would have wanted to know
            self._closing.set()
            self._taken.set()


@dataclass(frozen=True, slots=True)
class _Wish:
    """Begin to watch a plan, and say when that stands; or cease to (None)."""

    plan_id: str
    stands: asyncio.Future[None] | None


class _SqliteWatch(Watch):
    def __init__(self, tail: SqliteTail, plan_id: str, watcher: Watcher) -> None:
        self.plan_id = plan_id
        self.watcher = watcher
        self._tail = tail

    async def close(self) -> None:
        self._tail.end(self)


def _told_now(db: sqlite3.Connection, plan_id: str) -> _Told:
    return _Told(*heads_of(db, [plan_id])[plan_id].position)


def _since(db: sqlite3.Connection, seen: int) -> tuple[list[str], list[str], int]:
    """Plans deleted, plans appended to, and the newest activity, in one view."""
    db.execute("BEGIN")
    try:
        deleted = db.execute("SELECT plan_id FROM deletions WHERE activity > ? ORDER BY activity", (seen,)).fetchall()
        moved = db.execute("SELECT plan_id FROM plans WHERE activity > ? ORDER BY activity", (seen,)).fetchall()
        (seen,) = db.execute("SELECT activity FROM log").fetchone()
    finally:
        db.execute("COMMIT")
    return [row[0] for row in deleted], [row[0] for row in moved], seen


def _say_arrived(epoch: str, first: int, payloads: Sequence[bytes]) -> Callable[[Watcher], None]:
    return lambda watcher: watcher.arrived(epoch, first, payloads)


def _say_lost(watcher: Watcher) -> None:
    watcher.lost()


def _say_resumed(watcher: Watcher) -> None:
    watcher.resumed()


def _say_deleted(watcher: Watcher) -> None:
    watcher.deleted()


def _settle(future: asyncio.Future[None], error: LogError | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)
