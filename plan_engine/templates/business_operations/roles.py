"""The Data Analyst and the Business Advisor: what they know, what they can look up, and what they say when offline."""

from __future__ import annotations

import asyncio
from typing import Any, Final
from zlib import crc32

from pydantic_ai import RunContext

from plan_engine.models import Asked, Reply, Role, Use
from plan_engine.run.context import Context
from plan_engine.templates.books.reading import BY, MEASURES, Wanted, read
from plan_engine.templates.books.retelling import retold
from plan_engine.templates.books.shop import query
from plan_engine.templates.books.writing import sql_for
from plan_engine.templates.prompts import part_of

__all__ = ["advisor", "analyst", "best_customers", "focus_of", "shop_figures"]


async def shop_figures(run: RunContext[Context], measure: str, by: str, period: str = "") -> dict[str, Any]:
    """Look up the shop's figures.

    Args:
        measure: sales, units, orders, returns, cancellations, average order or customers.
        by: month, weekday, region, city, category, product, customer or status.
        period: a year or a month, as in 2026 or 2026-08; empty for everything.
    """
    if measure not in MEASURES or by not in BY:
        return {"problem": f"measure is one of {', '.join(MEASURES)}; by is one of {', '.join(BY)}"}
    ctx = run.deps
    async with ctx.tool("shop_figures", agent=analyst.name, measure=measure, by=by, period=period or "all") as use:
        await ctx.model.pause(0.7)
        if ctx.model.offline and ctx.attempt == 1:
            raise ConnectionError("the shop's database is busy")
        return await _looked_up(use, Wanted(measure, by, _period(period)))


async def best_customers(run: RunContext[Context], count: int) -> dict[str, Any]:
    """Look up the customers who buy most: their names, and what they have spent."""
    ctx = run.deps
    async with ctx.tool("best_customers", agent=advisor.name, count=count) as use:
        await ctx.model.pause(0.5)
        return await _looked_up(use, Wanted("sales", "customer", limit=max(1, min(50, count))))


async def _looked_up(use: Any, wanted: Wanted) -> dict[str, Any]:
    found = await asyncio.to_thread(query, sql_for(wanted))
    use.result = f"{len(found.rows)} rows"
    return {"columns": [*found.columns], "rows": [*found.rows]}


def _period(said: str) -> str | None:
    return said if len(said) in (4, 7) and said.replace("-", "").isdecimal() else None


# ---- what they say offline


def focus_of(request: str) -> Wanted:
    """What the request is about, as far as its words tell."""
    found = read(request)
    if found is None or found.by in (None, "customer"):
        return Wanted(found.measure if found else "sales", "category", found.period if found else None)
    return Wanted(found.measure, found.by, found.period)


def _analyses(asked: Asked) -> Reply:
    request: str = part_of(asked.prompt, "Request")
    focus = focus_of(request)
    if not (found := asked.returned.get("shop_figures")):
        return Use("shop_figures", {"measure": focus.measure, "by": focus.by, "period": focus.period or ""})
    return retold(request, found[0]["columns"], found[0]["rows"])


def _advises(asked: Asked) -> Reply:
    request: str = part_of(asked.prompt, "Request")
    if part_of(asked.prompt, "Task") == "customers":
        if not (found := asked.returned.get("best_customers")):
            return Use("best_customers", {"count": 10})
        rows = found[0]["rows"]
        return (
            f"I looked at who would notice. Ten customers brought £{sum(row[1] for row in rows):,.0f}; "
            f"{rows[0][0]} alone £{rows[0][1]:,.0f}. Whatever we do for “{request.strip()}”, they should hear of it first."
        )
    return _proposal(request, part_of(asked.prompt, "Figures"), part_of(asked.prompt, "Customers"))


def _proposal(request: str, figures: str, customers: str) -> str:
    discount = (5, 8, 10, 12)[crc32(request.encode()) % 4]
    first = figures.splitlines()[0] if figures else ""
    return (
        f"# Proposal: {request.strip()}\n\n"
        f"**What the figures say.** {first}\n\n"
        f"**Who it is for.** {customers}\n\n"
        f"**What I suggest.** A {discount} % offer for one week, on what sells least, told first to the ten best "
        "customers. We stop it on the third day if orders have not moved.\n\n"
        "**What it costs.** A week of attention, and the margin on what would have sold anyway."
    )


# ---- who they are

analyst: Final[Role[str]] = Role(
    "Data Analyst",
    "You look up the shop's figures that a request is about, and say in a few sentences what they show. Use shop_figures "
    "once or twice. The shop's orders run from 2025-01-01 to 2026-10-31.",
    output=str,
    script=_analyses,
    tools=[shop_figures],
)
advisor: Final[Role[str]] = Role(
    "Business Advisor",
    "You advise a small shop. For the task “customers”, look up the best customers and say briefly who would be touched "
    "by the request. For the task “proposal”, write a short proposal in Markdown from the figures and the customers: "
    "what the figures say, who it is for, what you suggest, what it costs.",
    output=str,
    script=_advises,
    tools=[best_customers],
)
