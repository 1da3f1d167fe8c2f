"""Opens the engine's database: SQLite for the programs of one machine, PostgreSQL for those of many.

DBOS keeps runs and the outcomes of their steps in it; our own tables hold people's signals and answers, and the workers.
"""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path
from typing import Any, Final, cast

import dbos
import sqlalchemy as sa
from dbos import DBOS, DBOSClient
from sqlalchemy.event import listen
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from plan_engine.errors import EngineMisconfigured, EngineUnavailable
from plan_engine.worker.sqlite import sqlite_problem

__all__ = ["APPLICATION", "SCHEMA", "JsonSerializer", "Tables", "dbos_client", "opened", "prepare"]

APPLICATION: Final = "plancast"
SCHEMA: Final = "plancast"
"""The PostgreSQL schema of our tables and DBOS's."""
BUSY_TIMEOUT_MS: Final = 30_000


class JsonSerializer(dbos.Serializer):
    """Stores DBOS's values as JSON, which any program can read, instead of as pickles."""

    def serialize(self, data: Any) -> str:
        return json.dumps(data, default=lambda odd: {"$error": f"{type(odd).__name__}: {odd}"})

    def deserialize(self, serialized_data: str) -> Any:
        data: Any = json.loads(serialized_data)
        if isinstance(data, dict) and "$error" in data:
            return RuntimeError(cast("dict[str, Any]", data)["$error"])
        return cast("Any", data)

    def name(self) -> str:
        return "plancast_json"


def opened(url: str) -> sa.Engine:
    """A pool of connections to the database that `url` names."""
    try:
        name = sa.make_url(url)
    except SQLAlchemyError:
        raise EngineMisconfigured(
            "the engine's database URL can't be parsed; expected sqlite:///… or postgresql://…"
        ) from None
    if name.get_backend_name() == "postgresql":
        return sa.create_engine(name.set(drivername="postgresql+psycopg"), pool_size=20, pool_pre_ping=True)
    if name.get_backend_name() != "sqlite" or name.database in (None, "", ":memory:"):
        raise EngineMisconfigured(f"the engine's database must be sqlite:///… or postgresql://…; got {name!r}")
    if problem := sqlite_problem():
        raise EngineMisconfigured(problem)
    Path(str(name.database)).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    engine = sa.create_engine(name, pool_size=20)
    listen(engine, "connect", _prepare_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _: object) -> None:
    """As DBOS does (a writing transaction takes its lock at the start); with WAL, so that readers don't wait for writers."""
    connection.isolation_level = "IMMEDIATE"
    for pragma in (f"busy_timeout={BUSY_TIMEOUT_MS}", "foreign_keys=ON", "journal_mode=WAL"):
        connection.execute(f"PRAGMA {pragma}")


class Tables:
    """Our tables."""

    def __init__(self, *, sqlite: bool) -> None:
        self.metadata = sa.MetaData(schema=None if sqlite else SCHEMA)
        number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
        self.signals = sa.Table(
            "plancast_signals",
            self.metadata,
            sa.Column("number", number, primary_key=True, autoincrement=True),
            sa.Column("plan_id", sa.Text, nullable=False, index=True),
            sa.Column("signal", sa.Text, nullable=False),
            sa.Column("by", sa.Text, nullable=False),
            sa.Column("at_ms", sa.BigInteger, nullable=False),
            sqlite_autoincrement=True,
        )
        self.answers = sa.Table(
            "plancast_answers",
            self.metadata,
            sa.Column("plan_id", sa.Text, primary_key=True),
            sa.Column("request_id", sa.Text, primary_key=True),
            sa.Column("answer", sa.Text, nullable=False),
            sa.Column("by", sa.Text),
            sa.Column("at", sa.Text),
        )
        self.workers = sa.Table(
            "plancast_workers",
            self.metadata,
            sa.Column("worker_id", sa.Text, primary_key=True),
            sa.Column("place", sa.Text, nullable=False),
            sa.Column("process", sa.Text, nullable=False),
            sa.Column("expires_ms", sa.BigInteger, nullable=False),
            sa.Column("claimed_by", sa.Text),
        )


def prepare(url: str, engine: sa.Engine) -> None:
    """Create DBOS's tables and ours where they are missing. Raises `EngineUnavailable` or `EngineMisconfigured`."""
    quiet = logging.getLogger("dbos")
    if not quiet.handlers:
        quiet.addHandler(logging.NullHandler())  # otherwise DBOS adds a handler that writes to the console
    quiet.setLevel(logging.ERROR)
    is_sqlite = engine.dialect.name == "sqlite"
    try:
        _migrate(url)
        _create(engine, Tables(sqlite=is_sqlite))
    except SQLAlchemyError as error:
        raise _unusable(error, server=not is_sqlite) from error


def _create(engine: sa.Engine, tables: Tables) -> None:
    for tries in range(5):
        try:
            with engine.begin() as db:
                for table in tables.metadata.sorted_tables:
                    db.execute(sa.schema.CreateTable(table, if_not_exists=True))
                    for index in table.indexes:
                        db.execute(sa.schema.CreateIndex(index, if_not_exists=True))
            return
        except SQLAlchemyError:  # another process may be creating them at the same moment
            if tries == 4:
                raise
            time.sleep(0.1 * (tries + 1))


def dbos_client(engine: sa.Engine) -> DBOSClient:
    """A client of DBOS that needs no worker."""
    return DBOSClient(
        system_database_engine=engine,
        dbos_system_schema=SCHEMA,
        serializer=JsonSerializer(),
        application_name=APPLICATION,
        retry_connection_errors=False,
    )


def _migrate(url: str) -> None:
    """Retry when the database is missing: DBOS creates it, but ignores that it can't while the server starts."""
    for tries in range(5):
        try:
            DBOS.migrate(url, schema=SCHEMA)
            return
        except OperationalError as error:
            if tries == 4 or "does not exist" not in str(error):
                raise
            time.sleep(0.1 * (tries + 1))


def _unusable(error: SQLAlchemyError, *, server: bool) -> EngineUnavailable | EngineMisconfigured:
    """The error for a database that can't be opened. A server that is down or starting may be available later; a
    connection that it refuses (FATAL) needs a person to change something."""
    why = str(getattr(error, "orig", None) or error).strip()
    refused = "FATAL" in why and "the database system is" not in why
    if server and isinstance(error, OperationalError) and not refused:
        return EngineUnavailable(f"the engine's database can't be reached: {why}")
    return EngineMisconfigured(f"the engine's database can't be used: {why}")
