"""The steps from a question to an answer."""

from __future__ import annotations

import asyncio
import csv
import io
from collections.abc import Sequence
from typing import Any, Final

from pydantic import BaseModel, Field
from pydantic.json_schema import SkipJsonSchema

from plan_engine.errors import Expired, StepFailed
from plan_engine.model.plan import Plan, Step
from plan_engine.model.template import template
from plan_engine.models import introduce
from plan_engine.run.context import Context
from plan_engine.templates.books.shop import QueryRefused, Table, query
from plan_engine.templates.data_query.check import problem_with
from plan_engine.templates.data_query.roles import interpreter, planner, reviewer, writer
from plan_engine.templates.prompts import asked_about

__all__ = ["MAX_ANSWERS", "MAX_QUERIES", "DataQuestion", "data_query"]

_LABEL: Final = "data_query"
MAX_QUERIES: Final = 3
MAX_ANSWERS: Final = 2
PATIENCE_S: Final = 15 * 60.0
MAX_CSV: Final = 50_000
"""Characters; more of it would not fit into an event."""
MAX_SHOWN: Final = 60
"""So many rows are enough to say what they mean."""
_EXAMPLES: Final = "“sales by month”, “our five best customers”, “returns by category in 2026”"


class DataQuestion(BaseModel):
    """What is asked, by whom, and where. `may_ask`: can whoever asked be asked in return? `asking` names this asking.
    Those two are a front end's to say, and offered to nobody."""

    query: str = Field(min_length=1, max_length=4000)
    user_id: str | None = Field(default=None, max_length=64)
    conversation_id: str | None = Field(default=None, max_length=128)
    session_id: str | None = Field(default=None, max_length=64)
    may_ask: SkipJsonSchema[bool] = True
    asking: SkipJsonSchema[str | None] = Field(default=None, max_length=64)

    @property
    def labels(self) -> list[str]:
        """By which it is found in lists: everything that this user asked, in this conversation, in this session."""
        if self.user_id is None:
            return []
        found = [f"{_LABEL}:user:{self.user_id}"]
        for kind, value in (("conversation", self.conversation_id), ("session", self.session_id)):
            found += [f"{_LABEL}:{kind}:{self.user_id}/{value}"] if value else []
        return [*found, f"{_LABEL}:asking:{self.asking}"] if self.asking else found


async def _progress(ctx: Context, percent: float, text: str, overall: int, retries: int = 0) -> None:
    """`percent` of the step, `overall` of the plan; how often it was done again stands in the text, too."""
    shown = f"{text} (retry {retries})" if retries else text
    await ctx.progress(percent, shown, data={"overall": overall, "retry_count": retries})


async def _plan(ctx: Context) -> dict[str, Any]:
    await _progress(ctx, 0, "Planning Task...", 0)
    await introduce(ctx)
    question: str = ctx.input["query"]
    task = await planner.answer(ctx, asked_about(question=question))
    if not task.clear and ctx.input["may_ask"]:
        question = await _clarified(ctx, question)
        task = await planner.answer(ctx, asked_about(question=question))
    await ctx.think(task.goal)
    await _progress(ctx, 100, "Planning Task...", 15)
    return {"question": question, "goal": task.goal, "clear": task.clear}


async def _clarified(ctx: Context, question: str) -> str:
    prompt = f"What would you like to know about the shop? For example {_EXAMPLES}."
    try:
        answer = await ctx.ask(prompt, schema={"type": "string", "minLength": 1}, expires_in=PATIENCE_S)
    except Expired:
        return question
    return str(answer)


async def _write_sql(ctx: Context) -> dict[str, Any]:
    """SQL that passed the check; None for a question that no SQL answers."""
    planned = ctx.results["planner"]
    if not planned["clear"]:
        return {"sql": None, "retries": 0}
    problems: list[str] = []
    while len(problems) < MAX_QUERIES:
        retries = len(problems)
        await _progress(ctx, 10 + 30 * retries, "Fetching Data...", 30, retries)
        about = {"question": planned["question"], "goal": planned["goal"]}
        sql = (await writer.answer(ctx, asked_about(**about, problems=problems))).sql
        await _progress(ctx, 25 + 30 * retries, "Validating Data...", 40, retries)
        async with ctx.tool("check_sql", sql=sql) as use:
            problem = await asyncio.to_thread(problem_with, sql)
            use.result = problem or "fit to be run"
        if problem is None:
            return {"sql": sql, "retries": retries}
        await ctx.think(f"That would not work: {problem}. (Try {retries + 1} of {MAX_QUERIES})")
        problems.append(problem)
    raise StepFailed("The data for this question could not be found. Try to put it in other words", retry=False)


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
        return {"response": f"I can answer questions about the shop's sales. Ask me, for example: {_EXAMPLES}."}
    problems: list[str] = []
    while True:
        retries = len(problems)
        await _progress(ctx, 10 + 40 * retries, "Interpreting Data...", 75, retries)
        about = {"question": planned["question"], "columns": found["columns"], "rows": found["rows"][:MAX_SHOWN]}
        text = await interpreter.speak(ctx, asked_about(**about, problems=problems))
        await _progress(ctx, 40 + 40 * retries, "Interpreting Data...", 85, retries)
        verdict = await reviewer.answer(ctx, asked_about(**about, answer=text))
        if verdict.good or retries + 1 == MAX_ANSWERS:
            return {"response": text, "retries": retries, "doubt": verdict.problem or None}
        await ctx.think(f"Not yet: {verdict.problem}. (Try {retries + 1} of {MAX_ANSWERS})", agent=reviewer.name)
        problems.append(verdict.problem)


async def _finish(ctx: Context) -> dict[str, Any]:
    await _progress(ctx, 50, "Finalizing Response...", 95)
    answer = ctx.results["interpretation"]
    response: str = answer["response"]
    if answer.get("doubt"):
        response += f"\n\nPlease take this with care: {answer['doubt']}."
    if ctx.results["run"]["more"]:
        response += "\n\nThere was more than I could look at; a narrower question tells more."
    retries = {"sql": ctx.results["sql"]["retries"], "interpretation": answer.get("retries", 0)}
    said = {"query": ctx.input["query"], "response": response, "sql": ctx.results["sql"]["sql"], "retries": retries}
    return {**said, "rows": len(ctx.results["run"]["rows"]), "conversation_id": ctx.input["conversation_id"]}


def _as_csv(found: Table) -> str:
    text = io.StringIO()
    rows: Sequence[Any] = [found.columns, *found.rows]
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


@template("data_query", title="Ask the shop's data", input=DataQuestion)
def data_query(asked: DataQuestion) -> Plan:
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
    return Plan(asked.query.strip()[:1000] or "A question", steps, labels=asked.labels)
