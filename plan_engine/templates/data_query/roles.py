"""Who answers a question about the shop, what each of them makes, and what they say when offline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from zlib import crc32

from pydantic import BaseModel

from plan_engine.models import Asked, Role
from plan_engine.templates.books.reading import read
from plan_engine.templates.books.retelling import retold
from plan_engine.templates.books.shop import TABLES
from plan_engine.templates.books.writing import sql_for, wrong_sql_for
from plan_engine.templates.prompts import part_of

__all__ = ["Query", "Task", "Verdict", "interpreter", "planner", "reviewer", "writer"]

_SCHEMA: Final = "; ".join(f"{table}({', '.join(columns)})" for table, columns in TABLES.items())
_SHOP: Final = (
    f"The shop's SQLite tables: {_SCHEMA}. Days are text like 2026-08-31; its orders run from 2025-01-01 to 2026-10-31, "
    "so last month is 2026-10. A status is delivered, cancelled or returned; prices are in pounds."
)


class Task(BaseModel):
    """What a question comes to. `clear` is false when it can't be answered from the shop's tables."""

    goal: str
    clear: bool


class Query(BaseModel):
    """SQL that answers the question."""

    sql: str


class Verdict(BaseModel):
    """Does an answer say what the rows say? If not, what is wrong with it?"""

    good: bool
    problem: str = ""


# ---- what they say offline


def _slips(question: str, often: Sequence[int]) -> int:
    """How many times an agent gets this question wrong before it gets it right; always the same for a question."""
    return often[crc32(question.strip().lower().encode()) % len(often)]


def _plans(asked: Asked) -> Task:
    wanted = read(part_of(asked.prompt, "Question"))
    if wanted is None:
        return Task(goal="It doesn't say what it wants to know of the shop", clear=False)
    goal = f"Find the {wanted.measure}"
    goal += f" by {wanted.by}" if wanted.by else ""
    goal += f" in {wanted.period}" if wanted.period else ""
    return Task(goal=goal, clear=True)


def _writes(asked: Asked) -> Query:
    question, problems = part_of(asked.prompt, "Question"), part_of(asked.prompt, "Problems")
    wanted = read(question)
    if wanted is None:
        return Query(sql="SELECT 'nothing' AS answer")
    slip = len(problems) < _slips(question, (0, 1, 0, 2))
    return Query(sql=wrong_sql_for(wanted, len(problems)) if slip else sql_for(wanted))


def _interprets(asked: Asked) -> str:
    prompt = asked.prompt
    question, problems = part_of(prompt, "Question"), part_of(prompt, "Problems")
    if len(problems) < _slips(question, (0, 0, 1)):
        return "The figures look good. I would go on like this."
    return retold(question, part_of(prompt, "Columns"), part_of(prompt, "Rows"))


def _reviews(asked: Asked) -> Verdict:
    rows, answer = part_of(asked.prompt, "Rows"), part_of(asked.prompt, "Answer")
    if not rows or any(str(value) in answer or f"{value:,.0f}" in answer for value in _telling(rows)):
        return Verdict(good=True)
    return Verdict(good=False, problem="it names none of the figures that were found")


def _telling(rows: Sequence[Sequence[Any]]) -> Sequence[float]:
    return [value for row in rows for value in row if isinstance(value, int | float)]


# ---- who they are

planner: Final = Role(
    "Planner",
    f"You turn a question about a shop into a task for whoever writes SQL. {_SHOP} If the question can't be answered "
    "from these tables, or is too vague to know what is meant, it is not clear.",
    output=Task,
    script=_plans,
)
writer: Final = Role(
    "Data Engineer",
    f"You write one SQLite SELECT that answers the question. {_SHOP} When problems are named, they are those of your "
    "earlier attempts: mend them.",
    output=Query,
    script=_writes,
)
interpreter: Final = Role(
    "Data Analyst",
    "You tell a shopkeeper in a few sentences of plain English what the rows say about the question, with the figures "
    "that matter and one piece of advice. No SQL, no jargon. When problems are named, they are those of your earlier "
    "answers: mend them.",
    output=str,
    script=_interprets,
)
reviewer: Final = Role(
    "Reviewer",
    "You check that an answer says what the rows say, and that it answers the question. Be brief about what is wrong.",
    output=Verdict,
    script=_reviews,
)
