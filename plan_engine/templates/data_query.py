"""Template `data_query`: answers a question about the sample shop. Planner → SQL → check → query → interpretation → review.

The progress texts are for people ("Fetching Data..."), with the number of retries.
"""

from __future__ import annotations

import asyncio
import csv
import io
from collections.abc import Sequence
from typing import Any, Final
from zlib import crc32

from pydantic import BaseModel, Field
from pydantic.json_schema import SkipJsonSchema

from plan_engine.errors import Expired, StepFailed
from plan_engine.model.plan import Plan, Step
from plan_engine.model.template import template
from plan_engine.models import Role, ScriptInput, introduce, prompt_of
from plan_engine.run.context import Context
from plan_engine.templates.shop_analyst import parse_question, sql_for, summarize, unknown_names, wrong_sql_for
from plan_engine.templates.shop_database import TABLES, QueryRefused, QueryResult, query, sql_problem

__all__ = ["MAX_QUERIES", "DataQuestion", "DataTask", "Verdict", "WrittenQuery", "data_query"]

_SCHEMA: Final = "; ".join(f"{table}({', '.join(columns)})" for table, columns in TABLES.items())
_SHOP: Final = (
    f"The shop's SQLite tables: {_SCHEMA}. Days are text like 2026-08-31; its orders run from 2025-01-01 to 2026-10-31, "
    "so last month is 2026-10. A status is delivered, cancelled or returned; prices are in pounds. Posts are those of the "
    "shop on Instagram, Facebook and Pinterest; their engagement is likes, comments and shares together."
)


class DataTask(BaseModel):
    """The task in a question. `clear` is false when it can't be answered from the shop's tables."""

    goal: str
    clear: bool


class WrittenQuery(BaseModel):
    """SQL that answers the question."""

    sql: str


class Verdict(BaseModel):
    """Whether an answer agrees with the rows and, if not, what is wrong with it."""

    good: bool
    problem: str = ""


# ---- their offline scripts


def _slips(question: str, often: Sequence[int]) -> int:
    """How often an agent fails on this question before it succeeds; always the same for a question."""
    return often[crc32(question.strip().lower().encode()) % len(often)]


def _plan_task(asked: ScriptInput) -> DataTask:
    wanted = parse_question(asked.part("Question"))
    if wanted is None:
        return DataTask(goal=_why_unclear(asked.part("Question")), clear=False)
    goal = f"Find the {wanted.measure}"
    goal += f" by {wanted.by}" if wanted.by else ""
    goal += f" of {', '.join(name for _, name in wanted.only)}" if wanted.only else ""
    goal += f" in {wanted.period}" if wanted.period else ""
    return DataTask(goal=goal, clear=True)


def _why_unclear(question: str) -> str:
    if unknown := unknown_names(question):
        return f"The shop's figures can't be narrowed down to {' or '.join(f'“{name}”' for name in unknown)}"
    return "I found nothing in the question that the shop's data could answer"


def _write(asked: ScriptInput) -> WrittenQuery:
    question, problems = asked.part("Question"), asked.part("Problems")
    wanted = parse_question(question)
    if wanted is None:
        return WrittenQuery(sql="SELECT 'nothing' AS answer")
    slip = len(problems) < _slips(question, (0, 1, 0, 2))
    return WrittenQuery(sql=wrong_sql_for(wanted, len(problems)) if slip else sql_for(wanted))


def _summarize_rows(asked: ScriptInput) -> str:
    question, problems = asked.part("Question"), asked.part("Problems")
    if len(problems) < _slips(question, (0, 0, 1)):
        return "The figures look good. I would continue like this."
    return summarize(question, asked.part("Columns"), asked.part("Rows"))


def _review(asked: ScriptInput) -> Verdict:
    rows, answer = asked.part("Rows"), asked.part("Answer")
    if not rows or any(str(value) in answer or f"{value:,.0f}" in answer for value in _figures_in(rows)):
        return Verdict(good=True)
    return Verdict(good=False, problem="it mentions none of the figures found")


def _figures_in(rows: Sequence[Sequence[Any]]) -> Sequence[float]:
    return [value for row in rows for value in row if isinstance(value, int | float)]


# ---- the roles

planner: Final = Role(
    "Planner",
    f"You turn a question about a shop into a task for the author of the SQL. {_SHOP} If the question can't be answered "
    "from these tables, or is too vague to know what is meant, it is not clear; the goal then says in one sentence why.",
    output=DataTask,
    script=_plan_task,
)
writer: Final = Role(
    "Data Engineer",
    f"You write one SQLite SELECT that answers the question. {_SHOP} When problems are named, they are those of your "
    "earlier attempts: fix them.",
    output=WrittenQuery,
    script=_write,
)
interpreter: Final = Role(
    "Data Analyst",
    "You tell a shopkeeper in a few sentences of plain English what the rows say about the question, with the figures "
    "that matter and one piece of advice. No SQL, no jargon. When problems are named, they are those of your earlier "
    "answers: fix them.",
    output=str,
    script=_summarize_rows,
)
reviewer: Final = Role(
    "Reviewer",
    "You check that an answer says what the rows say, and that it answers the question. Be brief about what is wrong.",
    output=Verdict,
    script=_review,
)


_LABEL: Final = "data_query"
MAX_QUERIES: Final = 3
MAX_ANSWERS: Final = 2
CLARIFY_S: Final = 15 * 60.0
MAX_CSV: Final = 50_000
"""Characters. A longer text would not fit into an event."""
MAX_SHOWN: Final = 60
"""Rows that the model gets to interpret."""
_EXAMPLES: Final = "“sales by month”, “our five best customers”, “top 5 Instagram posts by engagement”"


class DataQuestion(BaseModel):
    """A question, the user who asks it, and where. Only front ends set the last two, which are not in the schema: `may_ask`
    says whether the user can be asked in return, and `asking` identifies this question."""

    query: str = Field(min_length=1, max_length=4000)
    user_id: str | None = Field(default=None, max_length=64)
    conversation_id: str | None = Field(default=None, max_length=128)
    session_id: str | None = Field(default=None, max_length=64)
    may_ask: SkipJsonSchema[bool] = True
    asking: SkipJsonSchema[str | None] = Field(default=None, max_length=64)

    @property
    def labels(self) -> list[str]:
        """Labels for lists of a user's plans, and of those in one conversation or session."""
        if self.user_id is None:
            return []
        found = [f"{_LABEL}:user:{self.user_id}"]
        for kind, value in (("conversation", self.conversation_id), ("session", self.session_id)):
            found += [f"{_LABEL}:{kind}:{self.user_id}/{value}"] if value else []
        return [*found, f"{_LABEL}:asking:{self.asking}"] if self.asking else found


async def _progress(ctx: Context, percent: float, text: str, overall: int, retries: int = 0) -> None:
    """Report `percent` of the step and `overall` of the plan. The text includes the number of retries."""
    shown = f"{text} (retry {retries})" if retries else text
    await ctx.progress(percent, shown, data={"overall": overall, "retry_count": retries})


async def _plan(ctx: Context) -> dict[str, Any]:
    await _progress(ctx, 0, "Planning Task...", 0)
    await introduce(ctx)
    question: str = ctx.input["query"]
    task = await planner.answer(ctx, prompt_of(question=question))
    if not task.clear and ctx.input["may_ask"]:
        question = await _clarified(ctx, question, task.goal)
        task = await planner.answer(ctx, prompt_of(question=question))
    await ctx.think(task.goal)
    await _progress(ctx, 100, "Planning Task...", 15)
    return {"question": question, "goal": task.goal, "clear": task.clear}


async def _clarified(ctx: Context, question: str, problem: str) -> str:
    prompt = f"{problem.rstrip('. ')}. What would you like to know about the shop? For example {_EXAMPLES}."
    try:
        answer = await ctx.ask(prompt, schema={"type": "string", "minLength": 1}, expires_in=CLARIFY_S)
    except Expired:
        return question
    return str(answer)


async def _write_sql(ctx: Context) -> dict[str, Any]:
    """Write SQL that passes the check; None for a question that SQL can't answer."""
    planned = ctx.results["planner"]
    if not planned["clear"]:
        return {"sql": None, "retries": 0}
    problems: list[str] = []
    while len(problems) < MAX_QUERIES:
        retries = len(problems)
        await _progress(ctx, 10 + 30 * retries, "Fetching Data...", 30, retries)
        about = {"question": planned["question"], "goal": planned["goal"]}
        sql = (await writer.answer(ctx, prompt_of(**about, problems=problems))).sql
        await _progress(ctx, 25 + 30 * retries, "Validating Data...", 40, retries)
        async with ctx.tool("check_sql", sql=sql) as use:
            problem = await asyncio.to_thread(sql_problem, sql)
            use.result = problem or "no problem"
        if problem is None:
            return {"sql": sql, "retries": retries}
        await ctx.think(f"That would not work: {problem}. (Attempt {retries + 1} of {MAX_QUERIES})")
        problems.append(problem)
    raise StepFailed("The data for this question could not be found. Try other words", retry=False)


async def _run_sql(ctx: Context) -> dict[str, Any]:
    sql: str | None = ctx.results["sql"]["sql"]
    await _progress(ctx, 10, "Fetching Data...", 50, ctx.results["sql"]["retries"])
    if sql is None:
        return {"columns": [], "rows": [], "more": False}
    async with ctx.tool("shop_database", agent=writer.name, sql=sql) as use:
        try:
            found = await asyncio.to_thread(query, sql)
        except QueryRefused as error:
            raise StepFailed(f"The data could not be fetched: {error}") from error
        use.result = f"{len(found.rows)} rows" + (", and there are more" if found.more else "")
    if len(text := _as_csv(found)) <= MAX_CSV:
        await ctx.artifact("answer.csv", "text/csv", data=text)
    return {"columns": found.columns, "rows": found.rows, "more": found.more}


async def _interpret(ctx: Context) -> dict[str, Any]:
    planned, found = ctx.results["planner"], ctx.results["run"]
    if not planned["clear"]:
        await _progress(ctx, 80, "Interpreting Data...", 85)
        can = f"I can answer questions about the shop's sales and posts. Ask me, for example: {_EXAMPLES}."
        return {"response": f"{planned['goal'].rstrip('. ')}. {can}"}
    problems: list[str] = []
    while True:
        retries = len(problems)
        await _progress(ctx, 10 + 40 * retries, "Interpreting Data...", 75, retries)
        about = {"question": planned["question"], "columns": found["columns"], "rows": found["rows"][:MAX_SHOWN]}
        text = await interpreter.speak(ctx, prompt_of(**about, problems=problems))
        await _progress(ctx, 40 + 40 * retries, "Interpreting Data...", 85, retries)
        verdict = await reviewer.answer(ctx, prompt_of(**about, answer=text))
        if verdict.good or retries + 1 == MAX_ANSWERS:
            return {"response": text, "retries": retries, "doubt": verdict.problem or None}
        await ctx.think(f"Not yet: {verdict.problem}. (Attempt {retries + 1} of {MAX_ANSWERS})", agent=reviewer.name)
        problems.append(verdict.problem)


async def _finish(ctx: Context) -> dict[str, Any]:
    await _progress(ctx, 50, "Finalizing Response...", 95)
    answer = ctx.results["interpretation"]
    response: str = answer["response"]
    if answer.get("doubt"):
        response += f"\n\nPlease take this with care: {answer['doubt']}."
    if ctx.results["run"]["more"]:
        response += "\n\nThere was more data than I could look at; a narrower question may tell more."
    retries = {"sql": ctx.results["sql"]["retries"], "interpretation": answer.get("retries", 0)}
    fields = {"query": ctx.input["query"], "response": response, "sql": ctx.results["sql"]["sql"], "retries": retries}
    return {**fields, "rows": len(ctx.results["run"]["rows"]), "conversation_id": ctx.input["conversation_id"]}


def _as_csv(found: QueryResult) -> str:
    text = io.StringIO()
    rows: Sequence[Any] = [found.columns, *found.rows]
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


@template("data_query", title="Ask the shop's data", input=DataQuestion)
def data_query(given: DataQuestion) -> Plan:
    """Ask the sample shop a question in plain English: “our five best customers”, “sales by month in 2025”."""
    steps = [
        Step("planner", "Understand the question", _plan, retries=1, agent_name=planner.name),
        Step("sql", "Find the data", _write_sql, ["planner"], retries=1, weight=2, agent_name=writer.name),
        Step("run", "Fetch the data", _run_sql, ["planner", "sql"], retries=1, agent_name=writer.name),
        Step(
            "interpretation",
            "Say what it means",
            _interpret,
            ["planner", "run"],
            retries=1,
            weight=3,
            agent_name=interpreter.name,
        ),
        Step("answer", "Put the answer together", _finish, ["sql", "run", "interpretation"], agent_name=planner.name),
    ]
    return Plan(given.query.strip()[:1000] or "A question", steps, labels=given.labels)
