"""Templates for workers in separate processes. Their agents record their side effects in a SQLite file."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from plan_engine import BlockingContext, Context, Plan, Step, template

__all__ = ["SHOP_STEPS", "effects", "quick", "shop", "who_works"]

SHOP_STEPS = ("figures", "trends", "offer", "approval", "report")


def do(path: str, key: str, value: str = "") -> None:
    """Record a step's side effect, and how often it happened."""
    with closing(sqlite3.connect(path, timeout=30)) as db, db:
        db.execute("CREATE TABLE IF NOT EXISTS effects (key TEXT PRIMARY KEY, value TEXT, times INTEGER)")
        again = "ON CONFLICT (key) DO UPDATE SET times = times + 1"
        db.execute(f"INSERT INTO effects VALUES (?, ?, 1) {again}", (key, value))


def effects(path: Path) -> Mapping[str, tuple[str, int]]:
    """The recorded side effects by key: the value, and how often."""
    with closing(sqlite3.connect(path, timeout=30)) as db:
        return {key: (value, times) for key, value, times in db.execute("SELECT * FROM effects")}


async def figures(ctx: Context) -> dict[str, int]:
    await ctx.think("I need last autumn beside this summer")
    async with ctx.tool("sales_by_month", year=2026) as use:
        await ctx.sleep(0.05)
        use.result = 12
    do(ctx.input["effects"], ctx.key)
    await ctx.progress(70, "Adding up")
    await ctx.sleep(0.03)
    return {"months": 12}


async def trends(ctx: Context) -> str:
    async with ctx.stream() as message:
        for word in ["Those", "who", "came", "back", "twice", "spend", "more", "than", "a", "year", "ago"]:
            await message.write(f"{word} ")
            await ctx.sleep(0.01)
    do(ctx.input["effects"], ctx.key)
    return "more"


def offer(ctx: BlockingContext) -> str:
    ctx.act("Drafting the offer")
    do(ctx.input["effects"], ctx.key)
    ctx.sleep(0.08)
    ctx.artifact("offer.json", "application/json", data={"discount": ctx.results["figures"]["months"]})
    ctx.say("10 % for two weeks")
    return "10 %"


async def approval(ctx: Context) -> str:
    answer = await ctx.approve("Send the offer?")
    do(ctx.input["effects"], ctx.key)
    return answer.by or "nobody"


async def report(ctx: Context) -> dict[str, str]:
    await ctx.say("It goes out on Monday")
    do(ctx.input["effects"], ctx.key)
    return {"approved_by": ctx.results["approval"]}


@template("shop", title="Autumn campaign")
def shop(_: Mapping[str, Any]) -> Plan:
    steps = [
        Step("figures", "Collect the figures", figures, retries=1),
        Step("trends", "Find what changed", trends, ["figures"]),
        Step("offer", "Draft the offer", offer, ["figures"]),
        Step("approval", "Ask Maria", approval, ["trends", "offer"]),
        Step("report", "Report", report, ["approval"]),
    ]
    return Plan("Autumn campaign", steps)


async def sign(ctx: Context) -> str:
    """Ends once `hands` processes have worked, so that a quick one doesn't do everything alone."""
    await ctx.say("Done")
    do(ctx.input["effects"], ctx.key, str(os.getpid()))
    while len(who_works(Path(ctx.input["effects"]))) < ctx.input.get("hands", 1):
        await ctx.sleep(0.1)
    return "signed"


@template("quick", title="Two quick steps")
def quick(_: Mapping[str, Any]) -> Plan:
    return Plan("Two quick steps", [Step("a", "First", sign), Step("b", "Second", sign, ["a"])])


def who_works(path: Path) -> set[str]:
    """The ids of the processes that worked."""
    return {value for value, _ in effects(path).values() if value}
