"""The embedded log's file: its URL, schema and errors, and a connection to it that survives forks."""

from __future__ import annotations

import math
import os
import sqlite3
import threading
import time
from collections.abc import Generator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl
from weakref import WeakSet

from broadcasters.errors import LogError, LogFull, LogMisconfigured, LogUnavailable

__all__ = ["LAST_OFFSET", "SqliteConnection", "SqliteFile", "event_key"]

LAST_OFFSET: Final = 2**32 - 1
"""An event's key is `plan number << 32 | offset`, so that the events of a plan are next to each other on disk."""

APPLICATION_ID: Final = 0x506C616E  # "Plan"
SCHEMA_VERSION: Final = 1
LOOK_S = 2.0
"""How often an idle thread checks whether its event loop was closed without closing the log."""
FORK_PATIENCE_S: Final = 2.0
"""Longest time that a fork waits for connections in use."""
JOURNAL_BYTES: Final = 64 * 1024 * 1024
"""Size to which the write-ahead log is truncated after it grew."""

SCHEMA: Final = """
CREATE TABLE log (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    activity INTEGER NOT NULL,
    incarnation INTEGER NOT NULL,
    device INTEGER NOT NULL,
    inode INTEGER NOT NULL
);
INSERT INTO log VALUES (1, 0, 0, 0, 0);
CREATE TABLE plans (
    no INTEGER PRIMARY KEY AUTOINCREMENT,
    plan_id TEXT NOT NULL UNIQUE,
    epoch TEXT NOT NULL,
    ended TEXT NOT NULL,
    incarnation INTEGER NOT NULL,
    head INTEGER NOT NULL,
    floor INTEGER NOT NULL,
    checkpoint INTEGER NOT NULL,
    activity INTEGER NOT NULL UNIQUE,
    created_ms INTEGER NOT NULL,
    updated_ms INTEGER NOT NULL,
    status TEXT,
    title TEXT,
    progress REAL,
    owner TEXT,
    labels TEXT
);
CREATE INDEX plans_of_owner ON plans (owner, activity) WHERE owner IS NOT NULL;
CREATE TABLE labels (label TEXT, no INTEGER, PRIMARY KEY (label, no)) WITHOUT ROWID;
CREATE INDEX labels_of_plan ON labels (no);
CREATE TABLE events (place INTEGER PRIMARY KEY, payload BLOB NOT NULL);
CREATE TABLE producers (
    no INTEGER, producer TEXT, seq INTEGER NOT NULL, offsets TEXT NOT NULL, PRIMARY KEY (no, producer)
) WITHOUT ROWID;
CREATE TABLE keys (no INTEGER, key TEXT, offset INTEGER NOT NULL, PRIMARY KEY (no, key)) WITHOUT ROWID;
CREATE TABLE checkpoints (no INTEGER PRIMARY KEY, epoch TEXT NOT NULL, offset INTEGER NOT NULL, snapshot BLOB NOT NULL);
CREATE TABLE deletions (activity INTEGER PRIMARY KEY, plan_id TEXT NOT NULL, at_ms INTEGER NOT NULL);
"""
# `activity` counts appends and deletions over all plans. It never decreases, even when the plan with the highest value is
# deleted: a tail that has reached n reads what came after n. `incarnation` counts the files this log has been in: a file
# restored from an older copy may lack events that readers have, so its plans begin new epochs (L7). (A copy written over
# the same file can't be recognised: move the old file aside first.)

DAY_S: Final = 86_400


def event_key(no: int, offset: int) -> int:
    """The key of the plan's event at this offset."""
    return no << 32 | offset


@dataclass(frozen=True, slots=True)
class SqliteFile:
    """A file on this machine that holds plans."""

    path: Path
    ttl_s: float = 30 * DAY_S
    """How long a plan is kept after its last event; may be infinite."""
    patience_s: float = 5.0
    """How long to wait for a lock that another process holds."""

    @classmethod
    def at(cls, url: str) -> SqliteFile:
        """The file of a URL: `sqlite:///relative.db` or `sqlite:////absolute.db`, with `?ttl=` in days (or `never`) and
        `?timeout=` in seconds."""
        rest = url.removeprefix("sqlite:///")
        name, _, query = rest.partition("?")
        if rest == url or not name or name == ":memory:":
            raise LogMisconfigured(
                f"{url!r} names no file; expected sqlite:///plans.db (in this directory) or sqlite:////var/lib/plans.db"
            )
        options = dict(parse_qsl(query, keep_blank_values=True))
        ttl = options.pop("ttl", "30")
        patience = _seconds("timeout", options.pop("timeout", "5"))
        if options:
            raise LogMisconfigured(f"{url!r}: unknown option {next(iter(options))!r}; expected ttl or timeout")
        ttl_s = math.inf if ttl == "never" else _seconds("ttl", ttl) * DAY_S
        try:
            path = Path(name).expanduser().absolute()
        except RuntimeError:
            raise LogMisconfigured(f"{url!r}: ~ has no home directory here; write the whole path") from None
        return cls(path, ttl_s, patience)

    def create(self) -> None:
        """Create the directory, the file and its schema, unless they exist."""
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise LogMisconfigured(
                f"the log's directory {self.path.parent} can't be created: {error.strerror}"
            ) from error
        self._check_kind()
        with closing(sqlite3.connect(self.path, timeout=self.patience_s, isolation_level=None)) as db:
            self._prepare(db)

    def check(self) -> None:
        """Check that the existing file is a log that this process can write; nothing is changed. Raises a `LogError`."""
        self._check_kind()
        try:
            with (
                closing(sqlite3.connect(self.path, timeout=self.patience_s, isolation_level=None)) as db,
                _transaction(db, "BEGIN IMMEDIATE"),
            ):
                self._has_schema(db)
        except sqlite3.Error as error:
            raise self.error(error) from error

    def _check_kind(self) -> None:
        if self._exists() and not self.path.is_file():
            raise LogMisconfigured(f"the log {self.path} is not a file; name a file, such as {self.path / 'plans.db'}")

    def _exists(self) -> bool:
        try:
            return self.path.exists()
        except OSError as error:
            raise LogMisconfigured(f"the log {self.path} can't be accessed: {error.strerror}") from error

    def identity(self) -> tuple[int, int]:
        """Device and inode of the file at the path; (0, 0) without one."""
        try:
            found = os.stat(self.path)  # noqa: PTH116 - each append calls it, and Path.stat takes twice as long
        except OSError:
            return (0, 0)
        return (found.st_dev, found.st_ino)

    def error(self, error: sqlite3.Error) -> LogError:
        """The exception for an error of SQLite, which says what to do."""
        name = getattr(error, "sqlite_errorname", "")
        for start, kind, words in _ERRORS:
            if name.startswith(start):
                return kind(f"{words.format(path=self.path)} (SQLite: {error})")
        return LogUnavailable(f"the log {self.path} did not answer (SQLite: {error})")

    def _prepare(self, db: sqlite3.Connection) -> None:
        with _transaction(db, "BEGIN"):
            if self._has_schema(db) and self._is_at_home(db):
                return
        _use_wal(db, time.monotonic() + self.patience_s)
        with _transaction(db, "BEGIN IMMEDIATE"):
            if not self._has_schema(db):
                for statement in SCHEMA.split(";"):
                    db.execute(statement)
                db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            if not self._is_at_home(db):
                db.execute("UPDATE log SET incarnation = incarnation + 1, device = ?, inode = ?", self.identity())

    def _is_at_home(self, db: sqlite3.Connection) -> bool:
        """False when the file is a copy of another one."""
        return bool(db.execute("SELECT (device, inode) = (?, ?) FROM log", self.identity()).fetchone()[0])

    def _has_schema(self, db: sqlite3.Connection) -> bool:
        """True when the file has our schema, False when it is empty; `LogMisconfigured` otherwise."""
        (application,) = db.execute("PRAGMA application_id").fetchone()
        (version,) = db.execute("PRAGMA user_version").fetchone()
        if application == APPLICATION_ID:
            if version > SCHEMA_VERSION:
                raise LogMisconfigured(
                    f"the log {self.path} was written by a newer Plancast (schema {version}; this one has "
                    f"{SCHEMA_VERSION}): update this program, or name another file"
                )
            return True
        if db.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone():
            raise LogMisconfigured(f"{self.path} is a database of another program; name another file for the log")
        return False


@contextmanager
def _transaction(db: sqlite3.Connection, begin: str) -> Generator[None, None, None]:
    db.execute(begin)
    try:
        yield
        db.execute("COMMIT")
    finally:
        if db.in_transaction:
            db.execute("ROLLBACK")


def _seconds(option: str, value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise LogMisconfigured(f"the log's option {option}={value!r} is wrong; expected a number above 0")
    return number


def _use_wal(db: sqlite3.Connection, deadline: float) -> None:
    """Switch to write-ahead logging. SQLite does not wait for another process that does so; this does."""
    while True:
        try:
            (mode,) = db.execute("PRAGMA journal_mode = WAL").fetchone()
        except sqlite3.OperationalError as error:
            if not error.sqlite_errorname.startswith("SQLITE_BUSY") or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            if mode == "wal":
                return
            raise LogMisconfigured(
                "the log's file system does not support a write-ahead log; name a file on a local disk"
            )


_ERRORS: Final = (
    ("SQLITE_FULL", LogFull, "no room for the log {path}: free space on its disk; nothing was written"),
    ("SQLITE_IOERR_WRITE", LogFull, "the log {path} can't grow (quota, size limit, disk); nothing was written"),
    ("SQLITE_IOERR_SHMSIZE", LogFull, "no room for the log {path}: free space on its disk; nothing was written"),
    ("SQLITE_READONLY", LogMisconfigured, "the log {path} is read-only: allow writing to it and its directory"),
    ("SQLITE_PERM", LogMisconfigured, "no permission for the log {path}: allow writing to it and its directory"),
    ("SQLITE_CANTOPEN", LogMisconfigured, "the log {path} can't be opened: allow writing to it and its directory"),
    ("SQLITE_NOTADB", LogMisconfigured, "{path} is not a database; name another file for the log"),
    ("SQLITE_CORRUPT", LogMisconfigured, "the log {path} is damaged: restore a copy of it, or name another file"),
    ("SQLITE_BUSY", LogUnavailable, "another process holds the lock of the log {path} too long"),
    ("SQLITE_LOCKED", LogUnavailable, "another process holds the lock of the log {path} too long"),
)


class SqliteConnection:
    """One thread's connection to the file, opened when it is needed.

    It reopens when another file is at the path: the log was lost, or restored from a copy. Hold `in_use` while you use
    it, since a fork closes it: a child must not inherit a SQLite handle.
    """

    def __init__(self, file: SqliteFile, wait_s: float) -> None:
        self.file = file
        self.in_use = threading.Lock()
        self._wait_s = wait_s  # how long SQLite itself waits for a lock
        self._identity = (0, 0)
        self._db: sqlite3.Connection | None = None
        with _no_fork:
            _connections.add(self)

    def db(self) -> sqlite3.Connection:
        """The connection, without implicit transactions. May raise `sqlite3.Error` or `LogMisconfigured`."""
        if self._db is not None and self.file.identity() == self._identity:
            return self._db
        self.close()
        self.file.create()
        self._identity = self.file.identity()
        self._db = sqlite3.connect(
            self.file.path, timeout=self.file.patience_s, isolation_level=None, check_same_thread=False
        )
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.execute("PRAGMA temp_store = MEMORY")
        self._db.execute(f"PRAGMA journal_size_limit = {JOURNAL_BYTES}")
        self._db.execute(f"PRAGMA busy_timeout = {int(self._wait_s * 1000)}")
        return self._db

    def close(self) -> None:
        """Close it while holding `in_use`. The next `db()` opens it again."""
        db, self._db = self._db, None
        if db is not None:
            db.close()

    def end(self) -> None:
        """Close it without holding `in_use`."""
        with self.in_use:
            self.close()


_connections: WeakSet[SqliteConnection] = WeakSet()
_held: list[SqliteConnection] = []
_no_fork = threading.RLock()


def _before_fork() -> None:
    _no_fork.acquire()
    deadline = time.monotonic() + FORK_PATIENCE_S
    for connection in _connections:
        if connection.in_use.acquire(timeout=max(0.0, deadline - time.monotonic())):
            _held.append(connection)
            connection.close()


def _in_parent() -> None:
    for connection in _held:
        connection.in_use.release()
    _held.clear()
    _no_fork.release()


def _in_child() -> None:
    _connections.clear()  # the threads that used them exist in the parent only
    _in_parent()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_in_parent, after_in_child=_in_child)
