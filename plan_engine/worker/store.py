"""The engine's database: where DBOS keeps runs and the outcomes of their steps, and we what it has no place for:
people's signals and answers, and which workers are alive.

SQLite for the programs of one machine, PostgreSQL for many machines.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.event import listen
from sqlalchemy.exc import OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from plan_engine.errors import EngineMisconfigured
from plan_engine.run.assignment import Signal
from plan_engine.run.context import Answer

__all__ = ["SCHEMA", "Store", "default_url", "opened"]

T = TypeVar("T")

logger: Final = logging.getLogger(__name__)
SCHEMA: Final = "plancast"
"""In PostgreSQL everything of ours, and of DBOS for us, is in this schema."""
PATIENCE_MS: Final = 30_000
AGAIN_S: Final = 0.5
LATE: Final = 64
"""A signal with a lower number may become visible after a higher one; never so many lower."""


def default_url() -> str:
    """The file that all programs of this user share when nothing is configured."""
    return f"sqlite:///{Path.home() / '.plancast' / 'engine.db'}"


def opened(url: str) -> sa.Engine:
    """A pool of connections to the database that `url` names."""
    try:
        name = sa.make_url(url)
    except SQLAlchemyError:
        raise EngineMisconfigured("the engine's database is sqlite:///… or postgresql://…") from None
    if name.get_backend_name() == "postgresql":
        return sa.create_engine(name.set(drivername="postgresql+psycopg"), pool_size=20, pool_pre_ping=True)
    if name.get_backend_name() != "sqlite" or name.database in (None, "", ":memory:"):
        raise EngineMisconfigured(f"the engine's database is sqlite:///… or postgresql://…, not {name!r}")
    Path(str(name.database)).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    engine = sa.create_engine(name, pool_size=20)
    listen(engine, "connect", _prepare_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _: object) -> None:
    """As DBOS would (a transaction that writes says so first); and readers don't wait for the writer."""
    connection.isolation_level = "IMMEDIATE"
    for pragma in (f"busy_timeout={PATIENCE_MS}", "foreign_keys=ON", "journal_mode=WAL"):
        connection.execute(f"PRAGMA {pragma}")


def _tables(schema: str | None) -> tuple[sa.MetaData, sa.Table, sa.Table, sa.Table]:
    metadata = sa.MetaData(schema=schema)
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    signals = sa.Table(
        "plancast_signals",
        metadata,
        sa.Column("number", number, primary_key=True, autoincrement=True),
        sa.Column("plan_id", sa.Text, nullable=False, index=True),
        sa.Column("signal", sa.Text, nullable=False),
        sa.Column("by", sa.Text, nullable=False),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sqlite_autoincrement=True,
    )
    answers = sa.Table(
        "plancast_answers",
        metadata,
        sa.Column("plan_id", sa.Text, primary_key=True),
        sa.Column("request_id", sa.Text, primary_key=True),
        sa.Column("answer", sa.Text, nullable=False),
        sa.Column("by", sa.Text),
        sa.Column("at", sa.Text),
    )
    workers = sa.Table(
        "plancast_workers",
        metadata,
        sa.Column("worker_id", sa.Text, primary_key=True),
        sa.Column("place", sa.Text, nullable=False),
        sa.Column("process", sa.Text, nullable=False),
        sa.Column("expires_ms", sa.BigInteger, nullable=False),
        sa.Column("claimed_by", sa.Text),
    )
    return metadata, signals, answers, workers


class Store:
    """Synchronous inside, in a few threads of its own. Close it when done."""

    def __init__(self, engine: sa.Engine) -> None:
        self.engine = engine
        self._sqlite = engine.dialect.name == "sqlite"
        self._metadata, self._signals, self._answers, self._workers = _tables(None if self._sqlite else SCHEMA)
        self._threads = ThreadPoolExecutor(4, thread_name_prefix="plancast-store")

    async def call(self, work: Callable[..., T], *args: Any) -> T:
        """Do something synchronous with the database."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *args)

    def close(self) -> None:
        self._threads.shutdown(wait=True, cancel_futures=True)
        self.engine.dispose()

    def create(self) -> None:
        """Make our tables where they are missing. DBOS's, and in PostgreSQL the schema, must be there already."""
        for tries in range(5):
            try:
                with self.engine.begin() as db:
                    for table in self._metadata.sorted_tables:
                        db.execute(sa.schema.CreateTable(table, if_not_exists=True))
                        for index in table.indexes:
                            db.execute(sa.schema.CreateIndex(index, if_not_exists=True))
                return
            except SQLAlchemyError:  # two that begin at once may trip over each other
                if tries == 4:
                    raise
                time.sleep(0.1 * (tries + 1))

    def now_ms(self, db: sa.Connection) -> int:
        """By the clock that all who share this database share."""
        if self._sqlite:
            return time.time_ns() // 1_000_000
        return int(db.execute(sa.text("SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint")).scalar_one())

    # ---- signals

    def add_signal(self, plan_id: str, signal: str, by: str) -> None:
        with self.engine.begin() as db:
            values = {"plan_id": plan_id, "signal": signal, "by": by, "at_ms": self.now_ms(db)}
            db.execute(self._signals.insert().values(values))

    async def signals(self, plan_id: str) -> Sequence[Signal]:
        """All signals to a plan, in their order."""
        table = self._signals
        query = sa.select(table.c.number, table.c.signal, table.c.by).where(table.c.plan_id == plan_id)
        rows = await self._rows(query.order_by(table.c.number))
        return [Signal(number, signal, by) for number, signal, by in rows]

    async def signals_since(self, number: int) -> Sequence[tuple[str, Signal]]:
        """Signals to any plan after this one, and some before it that may have been invisible until now."""
        table = self._signals
        query = sa.select(table.c.plan_id, table.c.number, table.c.signal, table.c.by)
        rows = await self._rows(query.where(table.c.number > number - LATE).order_by(table.c.number))
        return [(plan_id, Signal(number, signal, by)) for plan_id, number, signal, by in rows]

    # ---- answers

    async def keep_answer(self, plan_id: str, request_id: str, answer: Answer) -> None:
        """Keep it for good. The first one kept stays, also when two workers keep one at the same moment."""
        insert = sqlite.insert if self._sqlite else postgresql.insert
        values = {
            "plan_id": plan_id,
            "request_id": request_id,
            "answer": json.dumps(answer.value),
            "by": answer.by,
            "at": answer.at,
        }

        def work() -> None:
            with self.engine.begin() as db:
                db.execute(insert(self._answers).values(values).on_conflict_do_nothing())

        await self._patiently(work)

    async def answers(self, plan_id: str) -> Mapping[str, Answer]:
        """The answers kept of a plan, by request."""
        table = self._answers
        query = sa.select(table.c.request_id, table.c.answer, table.c.by, table.c.at)
        rows = await self._rows(query.where(table.c.plan_id == plan_id))
        return {request_id: Answer(json.loads(answer), by, at) for request_id, answer, by, at in rows}

    async def _rows(self, query: sa.Executable) -> Sequence[Any]:
        def work() -> Sequence[Any]:
            with self.engine.connect() as db:
                return db.execute(query).fetchall()

        return await self._patiently(work)

    async def _patiently(self, work: Callable[[], T]) -> T:
        """A run stands still while its database is away."""
        while True:
            try:
                return await self.call(work)
            except (OperationalError, PoolTimeout) as error:
                logger.warning("the engine's database could not be reached (%s); trying again", error)
                await asyncio.sleep(AGAIN_S)

    def forget(self, plan_ids: Sequence[str]) -> None:
        """All signals and answers to these plans."""
        with self.engine.begin() as db:
            for table in (self._signals, self._answers):
                db.execute(table.delete().where(table.c.plan_id.in_(plan_ids)))

    # ---- workers; called in a worker's own thread

    def sign_on(self, worker_id: str, place: str, process: str, lease_s: float) -> None:
        """A worker is here. (Again, when it was taken for dead.)"""
        with self.engine.begin() as db:
            db.execute(self._workers.delete().where(self._workers.c.worker_id == worker_id))
            expires_ms = self.now_ms(db) + int(lease_s * 1000)
            values = {"worker_id": worker_id, "place": place, "process": process, "expires_ms": expires_ms}
            db.execute(self._workers.insert().values(values))

    def renew(self, worker_id: str, lease_s: float) -> bool:
        """A worker is still here. False when it was taken for dead meanwhile."""
        table = self._workers
        with self.engine.begin() as db:
            mine = (table.c.worker_id == worker_id) & table.c.claimed_by.is_(None)
            expires_ms = self.now_ms(db) + int(lease_s * 1000)
            return db.execute(table.update().where(mine).values(expires_ms=expires_ms)).rowcount == 1

    def sign_off(self, worker_id: str) -> None:
        with self.engine.begin() as db:
            db.execute(self._workers.delete().where(self._workers.c.worker_id == worker_id))

    def claim_dead(self, by: str, lease_s: float, gone: Callable[[str, str], bool]) -> Sequence[str]:
        """Workers that are dead, and that nobody but the caller looks after for the length of a lease.

        `gone(place, process)` may know of a death before its lease has run out."""
        table, claimed = self._workers, list[str]()
        with self.engine.begin() as db:
            now = self.now_ms(db)
            for row in db.execute(sa.select(table).where(table.c.worker_id != by)).fetchall():
                early = row.claimed_by is None and gone(row.place, row.process)
                if row.expires_ms >= now and not early:
                    continue
                as_seen = (table.c.worker_id == row.worker_id) & (table.c.expires_ms == row.expires_ms)
                values = {"claimed_by": by, "expires_ms": now + int(lease_s * 1000)}
                if db.execute(table.update().where(as_seen).values(values)).rowcount == 1:
                    claimed.append(row.worker_id)
        return claimed
