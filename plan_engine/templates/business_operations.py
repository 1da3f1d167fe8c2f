"""Template `business_operations`: a Data Analyst and a Business Advisor work on a request about the shop, and ask for
approval before they act.

Offline, the first look-up of the figures fails, so that people can see a retry.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any, Final

from pydantic import BaseModel, Field
from pydantic_ai import RunContext

from plan_engine.model.plan import Plan, Step
from plan_engine.model.template import template
from plan_engine.models import Reply, Role, ScriptInput, Use, introduce, prompt_of
from plan_engine.run.context import Context
from plan_engine.templates.shop_analyst import (
    MEASURES,
    ShopQuestion,
    groupings,
    parse_question,
    sql_for,
    summarize,
    unknown_names,
)
from plan_engine.templates.shop_database import query

__all__ = ["Request", "best_customers", "business_operations", "shop_figures"]


async def shop_figures(run: RunContext[Context], measure: str, by: str, period: str = "") -> dict[str, Any]:
    """Look up the shop's figures.

    Args:
        measure: of orders: sales, units, orders, returns, cancellations, average order or customers; of the posts on social
            media: engagement, engagement rate, likes, comments, shares, reach or posts.
        by: month, weekday, category or product; of orders also region, city, customer or status; of posts also post,
            platform or format.
        period: a year or a month, as in 2026 or 2026-08; empty for everything.
    """
    if measure not in MEASURES:
        return {"problem": f"measure must be one of {', '.join(MEASURES)}"}
    if by not in groupings(measure):
        return {"problem": f"for {measure}, by must be one of {', '.join(groupings(measure))}"}
    ctx = run.deps
    async with ctx.tool("shop_figures", agent=analyst.name, measure=measure, by=by, period=period or "all") as use:
        await ctx.model.pause(0.7)
        if ctx.model.offline and ctx.attempt == 1:
            raise ConnectionError("the shop's database is busy")
        return await _look_up(use, ShopQuestion(measure, by, _period(period)))


async def best_customers(run: RunContext[Context], count: int) -> dict[str, Any]:
    """Look up the customers who spent most: their names, and what they spent."""
    ctx = run.deps
    async with ctx.tool("best_customers", agent=advisor.name, count=count) as use:
        await ctx.model.pause(0.5)
        return await _look_up(use, ShopQuestion("sales", "customer", limit=max(1, min(50, count))))


async def _look_up(use: Any, wanted: ShopQuestion) -> dict[str, Any]:
    found = await asyncio.to_thread(query, sql_for(wanted))
    use.result = f"{len(found.rows)} rows"
    return {"columns": [*found.columns], "rows": [*found.rows]}


def _period(text: str) -> str | None:
    return text if len(text) in (4, 7) and text.replace("-", "").isdecimal() else None


# ---- their offline scripts


def _focus_of(request: str) -> ShopQuestion:
    """What the request is about, by its keywords."""
    found = parse_question(request)
    if found is None or found.by in (None, "customer", "post"):
        return ShopQuestion(found.measure if found else "sales", "category", found.period if found else None)
    return ShopQuestion(found.measure, found.by, found.period)


def _analyze(asked: ScriptInput) -> Reply:
    request: str = asked.part("Request")
    focus = _focus_of(request)
    if not (found := asked.returned.get("shop_figures")):
        return Use("shop_figures", {"measure": focus.measure, "by": focus.by, "period": focus.period or ""})
    return summarize(request, found[0]["columns"], found[0]["rows"])


def _advise(asked: ScriptInput) -> Reply:
    request: str = asked.part("Request")
    if asked.part("Task") == "customers":
        if not (found := asked.returned.get("best_customers")):
            return Use("best_customers", {"count": 10})
        rows = found[0]["rows"]
        return (
            f"I looked at who would notice. Ten customers brought £{sum(row[1] for row in rows):,.0f}; "
            f"{rows[0][0]} alone £{rows[0][1]:,.0f}. They should be the first to know of “{request.strip()}”."
        )
    return _proposal(request, asked.part("Figures"), asked.part("Customers"))


def _proposal(request: str, figures: str, customers: str) -> str:
    first = figures.splitlines()[0] if figures else ""
    return (
        f"# Proposal: {request.strip()}\n\n"
        f"**What the figures say.** {first}\n\n"
        f"**Who it is for.** {customers}\n\n"
        "**What I suggest.** A 10 % offer for one week, on what sells least, announced first to the ten best "
        "customers. We stop it on the third day if orders have not moved.\n\n"
        "**What it costs.** A week of attention, and the margin on what would have sold anyway.\n\n"
        "*The figures are those of the shop. The suggestion is the offline model's, and the same for every request.*"
    )


# ---- the roles

analyst: Final[Role[str]] = Role(
    "Data Analyst",
    "You look up the shop's figures that a request is about, and say in a few sentences what they show. Use shop_figures "
    "once or twice. The shop's orders run from 2025-01-01 to 2026-10-31.",
    output=str,
    script=_analyze,
    tools=[shop_figures],
)
advisor: Final[Role[str]] = Role(
    "Business Advisor",
    "You advise a small shop. For the task “customers”, look up the best customers and say briefly who would be touched "
    "by the request. For the task “proposal”, write a short proposal in Markdown from the figures and the customers: "
    "what the figures say, who it is for, what you suggest, what it costs.",
    output=str,
    script=_advise,
    tools=[best_customers],
)


APPROVAL_TIME: Final = timedelta(days=7)
LETTER: Final = (
    "Dear {name},\n\nthis week there is an offer for you in our shop, before anyone else gets it.\n\nYour shop"
)


class Request(BaseModel):
    """A request to the shop's analyst and advisor."""

    request: str = Field(min_length=1, max_length=4000, pattern=r"\S")


async def _brief(ctx: Context) -> dict[str, Any]:
    await introduce(ctx)
    focus = _focus_of(ctx.input["request"])
    await ctx.model.pause(0.8)
    await ctx.think(f"{_what_it_is_about(ctx.input['request'], focus)}. I'll get the figures.")
    await ctx.think("And I'll look at the customers meanwhile.", agent=advisor.name)
    return {"measure": focus.measure, "by": focus.by, "period": focus.period}


def _what_it_is_about(request: str, focus: ShopQuestion) -> str:
    figures = f"{focus.measure} by {focus.by}"
    if unknown := unknown_names(request):
        return f"The shop's figures can't be narrowed down to {' or '.join(unknown)}, so I begin with {figures}"
    if parse_question(request) is None:
        return f"I find none of the shop's figures in this, so I begin with {figures}"
    return f"This is about {figures}"


async def _figures(ctx: Context) -> str:
    await ctx.progress(10, "Reading the shop's books")
    await ctx.act("Looking up the figures…")
    text = await analyst.speak(ctx, prompt_of(request=ctx.input["request"]))
    await ctx.artifact("figures.md", "text/markdown", data=text)
    return text


async def _customers(ctx: Context) -> str:
    await ctx.progress(10, "Looking at who buys")
    return await advisor.speak(ctx, prompt_of(request=ctx.input["request"], task="customers"), "thinking")


async def _propose(ctx: Context) -> str:
    await ctx.progress(10, "Writing the proposal")
    about = {"figures": ctx.results["figures"], "customers": ctx.results["customers"]}
    text = await advisor.speak(ctx, prompt_of(request=ctx.input["request"], task="proposal", **about))
    await ctx.artifact("proposal.md", "text/markdown", data=text)
    return text


async def _decide(ctx: Context) -> dict[str, Any]:
    answer = await ctx.approve("Shall we go ahead with this proposal?", expires_in=APPROVAL_TIME, default="no")
    return {"approved": bool(answer), "by": answer.by}


async def _follow_up(ctx: Context) -> dict[str, Any]:
    decision = ctx.results["decision"]
    if not decision["approved"]:
        await ctx.say("Then it stays a draft. The proposal is kept, should you come back to it.")
        return {"approved": False, "proposal": ctx.results["proposal"]}
    await ctx.progress(30, "Writing the letters")
    found = await asyncio.to_thread(query, sql_for(ShopQuestion("sales", "customer", limit=10)))
    letters = "\n\n---\n\n".join(LETTER.format(name=name) for name, _ in found.rows)
    await ctx.artifact("letters.md", "text/markdown", data=letters)
    await ctx.say("letters.md has a draft for each of the ten best customers. Nothing was sent.")
    return {"approved": True, "by": decision["by"], "proposal": ctx.results["proposal"]}


@template("business_operations", title="Work on a business request", input=Request)
def business_operations(given: Request) -> Plan:
    """A Data Analyst and a Business Advisor work on a request (“sales by region are uneven”), and ask before they act."""
    steps = [
        Step("brief", "Understand the request", _brief, agent_name=analyst.name, weight=0.5),
        Step("figures", "Collect the figures", _figures, ["brief"], retries=2, backoff=0.5, agent_name=analyst.name),
        Step("customers", "Look at the customers", _customers, ["brief"], retries=2, agent_name=advisor.name),
        Step(
            "proposal",
            "Write the proposal",
            _propose,
            ["figures", "customers"],
            retries=1,
            weight=2,
            agent_name=advisor.name,
        ),
        Step("decision", "Ask for approval", _decide, ["proposal"], weight=0.5, agent_name=advisor.name),
        Step("follow_up", "Do what was decided", _follow_up, ["proposal", "decision"], agent_name=advisor.name),
    ]
    return Plan(given.request.strip()[:1000], steps)
