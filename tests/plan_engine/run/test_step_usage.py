"""Usage that an agent reports to the engine is in its step's events, and counts again in each attempt."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest

from broadcasters import InvalidEvent, Usage
from broadcasters.events import EVENTS, build
from broadcasters.fold import fold
from broadcasters.snapshot import Snapshot, UsageSum, empty
from plan_engine import BlockingContext, Context, Plan, Step, Template
from tests.plan_engine.event_rules import Event
from tests.plan_engine.harness import EngineHarness
from tests.plan_engine.test_engine import run


def folded(events: list[Event]) -> Snapshot:
    return fold(empty("p"), 1, [build(EVENTS[event.type], event.data) for event in events])


async def test_each_way_to_report_it(harness: EngineHarness) -> None:
    async def works(ctx: Context) -> None:
        await ctx.think("Hm.", usage={"output_tokens": 1})
        async with ctx.stream() as message:
            await message.write("So ")
            with pytest.raises(InvalidEvent):
                message.report_usage({"output_tokens": -1})
            message.report_usage(Usage(model="gpt-5", output_tokens=10))
        async with ctx.tool("ask") as use:
            use.usage = {"output_tokens": 100, "cost": "0.5"}
        await ctx.report_usage({"output_tokens": 1000}, agent="Other")

    _, events = await run(harness, works, agent_name="Ada")
    plan = folded(events)
    assert plan.steps[0].usage == plan.usage
    assert plan.usage == UsageSum(model="gpt-5", output_tokens=1111, costs={"USD": Decimal("0.5")})
    assert [message.usage and message.usage.output_tokens for message in plan.messages] == [1, 10]
    assert plan.tool_calls[0].usage is not None
    assert [(one.agent_name, one.output_tokens) for one in plan.usage_by_agent or ()][-1] == ("Other", 1000)
    assert (plan.steps[0].status, plan.steps[0].agent_name) == ("completed", "Ada")


async def test_each_attempt_counts(harness: EngineHarness) -> None:
    def works(ctx: BlockingContext) -> None:
        with ctx.stream() as message:
            message.write("So ")
            message.report_usage({"output_tokens": 10})
        ctx.report_usage({"output_tokens": 1})
        with ctx.tool("ask") as use:
            use.usage = Usage(output_tokens=100)
        if ctx.attempt == 1:
            raise ValueError("not yet")

    outcome, events = await run(harness, works, retries=1, backoff=0)
    assert outcome.status == "completed"
    assert folded(events).usage == UsageSum(output_tokens=222)


async def test_what_a_tool_has_used_when_its_plan_is_cancelled_counts(harness: EngineHarness) -> None:
    used = asyncio.Event()

    async def works(ctx: Context) -> None:
        async with ctx.tool("ask") as use:
            use.usage = {"output_tokens": 100}
            used.set()
            await asyncio.Event().wait()

    async with harness.engine(Template("t", "T", "", lambda _: Plan("T", [Step("a", "A", works)]))) as engine:
        await engine.start("t", {}, "p")
        await used.wait()
        await engine.signal("p", "cancel", "maria")
        await harness.outcome(engine, "p")
    assert (await harness.snapshot("p")).usage == UsageSum(output_tokens=100)
