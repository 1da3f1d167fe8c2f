"""Is this SQL fit to be run? One statement, which only reads tables that the shop has, as SQLite understands it."""

from __future__ import annotations

from typing import Final

import sqlglot
from sqlglot import exp
from sqlglot.errors import ParseError, SqlglotError, TokenError

from plan_engine.templates.books.shop import TABLES, QueryRefused, explain

__all__ = ["MAX_SQL", "problem_with"]

MAX_SQL: Final = 4000


def problem_with(sql: str) -> str | None:
    """What its author has to change; None when it is fit to be run."""
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
        return f"it has {len(statements)} statements; one is wanted"
    [statement] = statements
    if not isinstance(statement, exp.Query):
        return f"it is a {statement.key.upper()}; only a SELECT may be run"
    ours = {cte.alias_or_name.lower() for cte in statement.find_all(exp.CTE)} | TABLES.keys()
    named = [table.name or table.sql() for table in statement.find_all(exp.Table)]
    if unknown := sorted({name for name in named if name.lower() not in ours}):
        return f"there is no table {', '.join(unknown)}; there are {', '.join(TABLES)}"
    return None


def _refused(sql: str) -> str | None:
    """What SQLite itself says of it: columns, functions, what is allowed."""
    try:
        explain(sql)
    except QueryRefused as error:
        return str(error)
    return None


def _first_line(error: SqlglotError) -> str:
    return (str(error).splitlines() or ["it can't be read"])[0].strip()
