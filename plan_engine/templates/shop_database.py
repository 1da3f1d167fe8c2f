"""The sample shop's database: a SQLite file that is created on first use, and then only read.

The SQL may come from a language model and isn't trusted: the file is opened read-only, a statement may only read the shop's
tables, and time, rows, the size of a value and of all values together are limited.
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

import sqlglot
from sqlglot import exp
from sqlglot.errors import ParseError, SqlglotError, TokenError

from plan_engine.errors import StepFailed

__all__ = ["MAX_ROWS", "MAX_SQL", "TABLES", "QueryRefused", "QueryResult", "explain", "query", "sql_problem"]

TABLES: Final = {
    "customers": {"customer_id": "INT", "name": "TEXT", "city": "TEXT", "region": "TEXT", "joined_on": "TEXT"},
    "products": {"product_id": "INT", "name": "TEXT", "category": "TEXT", "price": "REAL"},
    "orders": {"order_id": "INT", "customer_id": "INT", "ordered_on": "TEXT", "status": "TEXT"},
    "order_items": {"order_id": "INT", "product_id": "INT", "quantity": "INT", "unit_price": "REAL"},
    "posts": {
        "post_id": "INT",
        "platform": "TEXT",
        "format": "TEXT",
        "posted_on": "TEXT",
        "product_id": "INT",
        "caption": "TEXT",
        "reach": "INT",
        "likes": "INT",
        "comments": "INT",
        "shares": "INT",
    },
}
"""The shop's tables with their columns and types. Days are text like 2026-08-31; a status is delivered, cancelled or
returned."""

MAX_ROWS: Final = 200
MAX_SECONDS: Final = 3.0
MAX_VALUE: Final = 16 * 1024
MAX_FOUND: Final = 256 * 1024
"""Characters of all rows together."""
_STEPS: Final = 2000
"""Instructions of SQLite's virtual machine between two checks of the time."""
_READING: Final = frozenset({sqlite3.SQLITE_SELECT, sqlite3.SQLITE_RECURSIVE})
_FORBIDDEN: Final = frozenset({"printf", "format", "fts3_tokenizer"})
"""SQL functions: the first two can run for minutes in a single instruction, the last one reveals memory addresses."""


class QueryRefused(Exception):
    """The statement was refused or stopped. The message says why, for the author of the statement."""


@dataclass(frozen=True, slots=True)
class QueryResult:
    """The result of a query. `more` is true when rows were left out."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    more: bool = False


def query(sql: str, *, seconds: float = MAX_SECONDS, rows: int = MAX_ROWS) -> QueryResult:
    """Run a statement; blocks for at most `seconds`.

    Raises:
        QueryRefused: the statement is invalid, not allowed, takes too long, or finds too much.
    """
    with closing(_opened(seconds)) as shop:
        try:
            found = shop.execute(sql)
            columns = [str(column[0]) for column in found.description or ()]
            taken = _taken(found, rows + 1)
        except (sqlite3.Error, sqlite3.Warning) as error:
            raise QueryRefused(_in_words(error, seconds)) from error
    return QueryResult(columns, taken[:rows], more=len(taken) > rows)


def _taken(found: Iterable[Sequence[Any]], most: int) -> list[list[Any]]:
    taken, room = list[list[Any]](), MAX_FOUND
    for row in islice(found, most):
        room -= sum(len(str(value)) for value in row)
        if room < 0:
            raise QueryRefused(f"it finds more than {MAX_FOUND:,} characters; select fewer columns or rows")
        taken.append([*row])
    return taken


def explain(sql: str) -> None:
    """Check that SQLite could run this statement, without running it. Raises `QueryRefused`."""
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
    """SQLite also asks about the name of a CTE, without a column, when only its rows are counted."""
    return table in TABLES or (not column and not table.startswith("sqlite_"))


def _shop_file() -> Path:
    """The shop's file. It is created under another name, so that no program sees an incomplete one."""
    script = files("plan_engine.templates").joinpath("data/shop.sql").read_text(encoding="utf-8")
    path = Path.home() / ".plancast" / f"shop-{sha256(script.encode()).hexdigest()[:12]}.db"
    if not path.exists():
        try:
            _make(script, path)
        except OSError as error:
            raise StepFailed(f"The sample shop could not be created in {path.parent}: {error}") from error
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


MAX_SQL: Final = 4000


def sql_problem(sql: str) -> str | None:
    """Check a statement: one SELECT on the shop's tables, as SQLite understands it. Returns what to change, or None."""
    if len(sql) > MAX_SQL:
        return f"it is longer than {MAX_SQL:,} characters"
    try:
        statements = [one for one in sqlglot.parse(sql, dialect="sqlite") if one is not None]
    except (ParseError, TokenError) as error:
        return f"it is not SQL: {_first_line(error)}"
    except RecursionError:
        return "it is nested too deeply"
    return _problem(statements) or _refused(sql)


def _problem(statements: list[exp.Expr]) -> str | None:
    if len(statements) != 1:
        return f"it has {len(statements)} statements; expected one"
    [statement] = statements
    if not isinstance(statement, exp.Query):
        return f"it is a {statement.key.upper()}; only a SELECT may be run"
    ours = {cte.alias_or_name.lower() for cte in statement.find_all(exp.CTE)} | TABLES.keys()
    named = [table.name or table.sql() for table in statement.find_all(exp.Table)]
    if unknown := sorted({name for name in named if name.lower() not in ours}):
        return f"unknown table {', '.join(unknown)}; expected one of {', '.join(TABLES)}"
    return None


def _refused(sql: str) -> str | None:
    """What SQLite itself refuses: unknown columns and functions, and actions that aren't allowed."""
    try:
        explain(sql)
    except QueryRefused as error:
        return str(error)
    return None


def _first_line(error: SqlglotError) -> str:
    return (str(error).splitlines() or ["it can't be read"])[0].strip()
