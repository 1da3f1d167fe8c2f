"""The sample shop that the templates ask questions of: a real SQLite file, made when it is first needed, and only read.

Whoever asks may be a model, so nothing is trusted: the file is opened for reading, the statement may do nothing but read
the shop's tables, and time, rows, the size of a value and of all values together are bounded.
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
import time
from collections.abc import Iterable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files
from itertools import islice
from pathlib import Path
from typing import Any, Final

from plan_engine.errors import StepFailed

__all__ = ["MAX_ROWS", "TABLES", "QueryRefused", "Table", "explain", "query"]

TABLES: Final = {
    "customers": {"customer_id": "INT", "name": "TEXT", "city": "TEXT", "region": "TEXT", "joined_on": "TEXT"},
    "products": {"product_id": "INT", "name": "TEXT", "category": "TEXT", "price": "REAL"},
    "orders": {"order_id": "INT", "customer_id": "INT", "ordered_on": "TEXT", "status": "TEXT"},
    "order_items": {"order_id": "INT", "product_id": "INT", "quantity": "INT", "unit_price": "REAL"},
}
"""The shop's tables, their columns and their types. Days are text, as in 2026-08-31; a status is delivered, cancelled or
returned."""

MAX_ROWS: Final = 200
MAX_SECONDS: Final = 3.0
MAX_VALUE: Final = 16 * 1024
MAX_FOUND: Final = 256 * 1024
"""Characters, of all rows together."""
_STEPS: Final = 2000
"""Of SQLite's machine, between two looks at the clock."""
_READING: Final = frozenset({sqlite3.SQLITE_SELECT, sqlite3.SQLITE_RECURSIVE})
_FORBIDDEN: Final = frozenset({"printf", "format", "fts3_tokenizer"})
"""Functions: the first two can be made to pad for minutes in a single step, the last one tells addresses in memory."""


class QueryRefused(Exception):
    """The statement was not run, or not to its end; the message says why, in words its author can use."""


@dataclass(frozen=True, slots=True)
class Table:
    """What a query found. `more`: there was more of it than rows are given."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    more: bool = False


def query(sql: str, *, seconds: float = MAX_SECONDS, rows: int = MAX_ROWS) -> Table:
    """What the statement finds. Blocks for at most so many seconds. Raises `QueryRefused`."""
    with closing(_opened(seconds)) as shop:
        try:
            found = shop.execute(sql)
            columns = [str(column[0]) for column in found.description or ()]
            taken = _taken(found, rows + 1)
        except (sqlite3.Error, sqlite3.Warning) as error:
            raise QueryRefused(_in_words(error, seconds)) from error
    return Table(columns, taken[:rows], more=len(taken) > rows)


def _taken(found: Iterable[Sequence[Any]], most: int) -> list[list[Any]]:
    taken, room = list[list[Any]](), MAX_FOUND
    for row in islice(found, most):
        room -= sum(len(str(value)) for value in row)
        if room < 0:
            raise QueryRefused(f"it finds more than {MAX_FOUND:,} characters; ask for fewer columns or rows")
        taken.append([*row])
    return taken


def explain(sql: str) -> None:
    """Raises `QueryRefused` when SQLite could not run this statement. Runs nothing."""
    query(f"EXPLAIN {sql}", rows=0)


def _in_words(error: sqlite3.Error | sqlite3.Warning, seconds: float) -> str:
    match getattr(error, "sqlite_errorcode", None):
        case sqlite3.SQLITE_INTERRUPT:
            return f"it took longer than {seconds:g} s"
        case sqlite3.SQLITE_AUTH:
            return f"it does more than read the shop's tables ({error})"
        case _:
            return str(error)


def _opened(seconds: float) -> sqlite3.Connection:
    shop = sqlite3.connect(f"{_shop_file().as_uri()}?mode=ro", uri=True, isolation_level=None)
    shop.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_VALUE)
    shop.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
    until = time.monotonic() + seconds
    shop.set_progress_handler(lambda: time.monotonic() > until, _STEPS)
    shop.set_authorizer(_authorised)
    return shop


def _authorised(action: int, table: str | None, name: str | None, *_: str | None) -> int:
    if action == sqlite3.SQLITE_READ:
        allowed = _may_be_read((table or "").lower(), column=name)
    elif action == sqlite3.SQLITE_FUNCTION:
        allowed = (name or "").lower() not in _FORBIDDEN
    else:
        allowed = action in _READING
    return sqlite3.SQLITE_OK if allowed else sqlite3.SQLITE_DENY


def _may_be_read(table: str, column: str | None) -> bool:
    """Of what a WITH names, SQLite asks only when its rows are counted; its columns are those of the tables behind it."""
    return table in TABLES or (not column and not table.startswith("sqlite_"))


def _shop_file() -> Path:
    """Where the shop is. Made under another name first, so that nobody ever sees half of it."""
    script = files("plan_engine.templates").joinpath("data/shop.sql").read_text(encoding="utf-8")
    path = Path.home() / ".plancast" / f"shop-{sha256(script.encode()).hexdigest()[:12]}.db"
    if not path.exists():
        try:
            _make(script, path)
        except OSError as error:
            raise StepFailed(f"The sample shop could not be made in {path.parent}: {error}") from error
    return path


def _make(script: str, path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle, draft = tempfile.mkstemp(dir=path.parent, prefix="shop-", suffix=".draft")
    os.close(handle)
    try:
        with closing(sqlite3.connect(draft)) as shop:
            shop.executescript(script)
        Path(draft).replace(path)
    finally:
        with suppress(FileNotFoundError):
            Path(draft).unlink()
