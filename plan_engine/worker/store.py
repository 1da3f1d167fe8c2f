"""Reads and writes our tables in the engine's database: people's signals and answers, and the workers. Deletes old runs."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar

import sqlalchemy as sa
from dbos import DBOSClient
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from plan_engine.model.interaction import Answer, Signal
from plan_engine.run.reporter import retry_on
from plan_engine.worker.database import Tables

__all__ = ["AT_ONCE", "ENDED", "Store", "delete_if_ended", "delete_old_runs"]

T = TypeVar("T")

LATE: Final = 64
"""A signal may become visible after one with a higher number; their numbers differ by less than this."""


class Store:
    """The tables of one database. Synchronous calls run in a few threads of its own. The owner must close it."""

    def __init__(self, engine: sa.Engine) -> None:
        self.engine = engine
        self._sqlite = engine.dialect.name == "sqlite"
        tables = Tables(sqlite=self._sqlite)
        self._signals, self._answers, self._workers = tables.signals, tables.answers, tables.workers
        self._threads = ThreadPoolExecutor(4, thread_name_prefix="plancast-store")

    async def call(self, work: Callable[..., T], *args: Any) -> T:
        """Run a synchronous function that uses the database in one of the store's threads."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *args)

    def close(self) -> None:
        self._threads.shutdown(wait=True, cancel_futures=True)
        self.engine.dispose()

    def now_ms(self, db: sa.Connection) -> int:
        """The time by the clock that all programs using this database share."""
        if self._sqlite:
            return time.time_ns() // 1_000_000
        return int(db.execute(sa.text("SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint")).scalar_one())

    # ---- signals

    def add_signal(self, plan_id: str, signal: str, by: str) -> None:
        with self.engine.begin() as db:
            values = {"plan_id": plan_id, "signal": signal, "by": by, "at_ms": self.now_ms(db)}
            db.execute(self._signals.insert().values(values))

    async def signals(self, plan_id: str) -> Sequence[Signal]:
        """All signals to a plan, in order."""
        table = self._signals
        query = sa.select(table.c.number, table.c.signal, table.c.by).where(table.c.plan_id == plan_id)
        rows = await self._rows(query.order_by(table.c.number))
        return [Signal(number, signal, by) for number, signal, by in rows]

    async def signals_since(self, number: int) -> Sequence[tuple[str, Signal]]:
        """Signals to any plan after this one, and some before it that may not have been visible yet."""
        table = self._signals
        query = sa.select(table.c.plan_id, table.c.number, table.c.signal, table.c.by)
        rows = await self._rows(query.where(table.c.number > number - LATE).order_by(table.c.number))
        return [(plan_id, Signal(number, signal, by)) for plan_id, number, signal, by in rows]

    # ---- answers

    async def keep_answer(self, plan_id: str, request_id: str, answer: Answer) -> None:
        """Store an answer. The first one stays, even when two workers store one at the same moment."""
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
        """The stored answers of a plan, by request id."""
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
        """Retry while the database is unavailable; the run stands still meanwhile."""
        errors = (OperationalError, PoolTimeout)
        return await retry_on(errors, lambda: self.call(work), "the engine's database can't be reached; retrying")

    def delete_inputs(self, plan_ids: Sequence[str]) -> None:
        """Delete all signals and answers of these plans."""
        with self.engine.begin() as db:
            for table in (self._signals, self._answers):
                db.execute(table.delete().where(table.c.plan_id.in_(plan_ids)))

    # ---- workers; called in the lease's thread

    def sign_on(self, worker_id: str, place: str, process: str, lease_s: float) -> None:
        """Add a worker; again after it was taken for dead."""
        with self.engine.begin() as db:
            db.execute(self._workers.delete().where(self._workers.c.worker_id == worker_id))
            expires_ms = self.now_ms(db) + int(lease_s * 1000)
            values = {"worker_id": worker_id, "place": place, "process": process, "expires_ms": expires_ms}
            db.execute(self._workers.insert().values(values))

    def renew(self, worker_id: str, lease_s: float) -> bool:
        """Extend a worker's lease. False when it was taken for dead meanwhile."""
        table = self._workers
        with self.engine.begin() as db:
            mine = (table.c.worker_id == worker_id) & table.c.claimed_by.is_(None)
            expires_ms = self.now_ms(db) + int(lease_s * 1000)
            return db.execute(table.update().where(mine).values(expires_ms=expires_ms)).rowcount == 1

    def sign_off(self, worker_id: str) -> None:
        with self.engine.begin() as db:
            db.execute(self._workers.delete().where(self._workers.c.worker_id == worker_id))

    def claim_dead(self, by: str, lease_s: float, ended: Callable[[str, str], bool]) -> Sequence[str]:
        """Claim the dead workers that no other engine has claimed. A claim holds for the length of a lease.

        `ended(place, process)` may find a worker dead before its lease has run out."""
        table, claimed = self._workers, list[str]()
        with self.engine.begin() as db:
            now = self.now_ms(db)
            for row in db.execute(sa.select(table).where(table.c.worker_id != by)).fetchall():
                early = row.claimed_by is None and ended(row.place, row.process)
                if row.expires_ms >= now and not early:
                    continue
                as_seen = (table.c.worker_id == row.worker_id) & (table.c.expires_ms == row.expires_ms)
                values = {"claimed_by": by, "expires_ms": now + int(lease_s * 1000)}
                if db.execute(table.update().where(as_seen).values(values)).rowcount == 1:
                    claimed.append(row.worker_id)
        return claimed


# ---- ended runs

ENDED: Final = ["SUCCESS", "ERROR", "CANCELLED"]
AT_ONCE: Final = 200
"""Runs deleted in one transaction, so that other programs don't wait long for the database."""


def delete_old_runs(store: Store, client: DBOSClient, keep: timedelta) -> int:
    """Delete up to `AT_ONCE` runs that ended longer than `keep` ago; returns how many. Their events stay in the log."""
    before = (datetime.now(UTC) - keep).isoformat()
    ended = client.list_workflows(
        status=ENDED, completed_before=before, limit=AT_ONCE, load_input=False, load_output=False
    )
    plan_ids = [run.workflow_id for run in ended]
    _delete_runs(store, client, plan_ids)
    return len(plan_ids)


def delete_if_ended(store: Store, client: DBOSClient, plan_id: str) -> None:
    """Delete this run, if it has ended."""
    ended = client.list_workflows(workflow_ids=[plan_id], status=ENDED, load_input=False, load_output=False)
    _delete_runs(store, client, [run.workflow_id for run in ended])


def _delete_runs(store: Store, client: DBOSClient, plan_ids: list[str]) -> None:
    if plan_ids:
        store.delete_inputs(plan_ids)
        client.delete_workflows(plan_ids)
