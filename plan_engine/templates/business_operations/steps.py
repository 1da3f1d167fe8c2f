"""The steps of a request: figures and customers side by side, then a proposal, an approval, and what follows from it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from pydantic import BaseModel, Field

from plan_engine.model.plan import Plan, Step
from plan_engine.model.template import template
from plan_engine.models import introduce
from plan_engine.run.context import Context
from plan_engine.templates.business_operations.roles import advisor, analyst, focus_of
from plan_engine.templates.prompts import asked_about

__all__ = ["Request", "business_operations"]

PATIENCE: Final = timedelta(days=7)


class Request(BaseModel):
    """What somebody wants of the shop's analyst and advisor."""

    request: str = Field(min_length=1, max_length=4000, pattern=r"\S")


async def _brief(ctx: Context) -> dict[str, Any]:
    await introduce(ctx)
    focus = focus_of(ctx.input["request"])
    await ctx.model.pause(0.8)
    await ctx.think(f"This is about {focus.measure} by {focus.by}. I'll get the figures.")
    await ctx.think("And I'll look at the customers meanwhile.", agent=advisor.name)
    return {"measure": focus.measure, "by": focus.by, "period": focus.period}


async def _figures(ctx: Context) -> str:
    await ctx.progress(10, "Reading the shop's books")
    await ctx.act("Looking up the figures…")
    text = await analyst.speak(ctx, asked_about(request=ctx.input["request"]))
    await ctx.artifact("figures.md", "text/markdown", data=text)
    return text


async def _customers(ctx: Context) -> str:
    await ctx.progress(10, "Looking at who buys")
    return await advisor.speak(ctx, asked_about(request=ctx.input["request"], task="customers"), "thinking")


async def _propose(ctx: Context) -> str:
    await ctx.progress(10, "Writing the proposal")
    about = {"figures": ctx.results["figures"], "customers": ctx.results["customers"]}
    text = await advisor.speak(ctx, asked_about(request=ctx.input["request"], task="proposal", **about))
    await ctx.artifact("proposal.md", "text/markdown", data=text)
    return text


async def _decide(ctx: Context) -> dict[str, Any]:
    answer = await ctx.approve("Shall we go ahead with this proposal?", expires_in=PATIENCE, default="no")
    return {"approved": bool(answer), "by": answer.by}


async def _follow_up(ctx: Context) -> dict[str, Any]:
    decision = ctx.results["decision"]
    if not decision["approved"]:
        await ctx.say("Then it stays a draft. The proposal is kept, should you come back to it.")
        return {"approved": False, "proposal": ctx.results["proposal"]}
    for percent, text in ((30, "Setting the offer up"), (70, "Preparing the letters")):
        await ctx.progress(percent, text)
        await ctx.model.pause(0.8)
    await ctx.say("Everything is prepared: the offer, and letters to the ten best customers, ready to be sent by hand.")
    return {"approved": True, "by": decision["by"], "proposal": ctx.results["proposal"]}


@template("business_operations", title="Work on a business request", input=Request)
def business_operations(asked: Request) -> Plan:
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
    return Plan(asked.request.strip()[:1000], steps)
