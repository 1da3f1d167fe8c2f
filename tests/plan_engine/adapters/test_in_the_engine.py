"""Runs inside an engine's step: they report and ask as that step, which retries and ends them."""

from __future__ import annotations

import asyncio
from typing import Any

from langchain_core.messages import AIMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.prebuilt import ToolNode
from pydantic_ai import Agent, DeferredToolRequests
from pydantic_ai.models.function import FunctionModel

from plan_engine import Context
from plan_engine.adapters.langgraph import run_langgraph
from plan_engine.adapters.pydantic_ai import run_pydantic_ai
from tests.plan_engine.adapters.graphs import Shop, chain, orders, shop
from tests.plan_engine.adapters.person import words_of
from tests.plan_engine.adapters.test_pydantic_ai import analyst
from tests.plan_engine.adapters.test_pydantic_ai import orders as count_orders
from tests.plan_engine.harness import EngineHarness
from tests.plan_engine.test_engine import only


async def test_a_graph_reports_and_asks_as_its_step(harness: EngineHarness) -> None:
    graph = shop(InMemorySaver())

    async def offer(ctx: Context) -> Any:
        values = await run_langgraph(ctx, graph, {})
        return values["notes"]

    async with harness.engine(only(offer)) as engine:
        await engine.start("only", {}, "p")
        request_id = await harness.until_asked("p")
        await harness.answer("p", request_id, "yes", by="maria")
        assert (await harness.outcome(engine, "p")).result == ["sent: yes"]
    await harness.events("p")
    plan = await harness.snapshot("p")
    assert [(step.step_id, step.status) for step in plan.steps] == [("a", "completed")]
    assert {message.step_id for message in plan.messages} == {"a"}
    said = [content for _, _, content in words_of(plan)]
    assert said == ["Look up", "Looking at the orders.", "Tools", "Advise", "I suggest ten percent.", "Send"]
    (call,) = plan.tool_calls
    assert (call.tool_name, call.phase, call.arguments) == ("orders", "completed", {"month": "May"})


async def test_an_agents_approval_is_the_steps(harness: EngineHarness) -> None:
    agent = Agent(FunctionModel(stream_function=analyst), name="Analyst", output_type=[str, DeferredToolRequests])
    agent.tool_plain(requires_approval=True)(count_orders)

    async def look(ctx: Context) -> Any:
        return (await run_pydantic_ai(ctx, agent, "How is May?")).output

    async with harness.engine(only(look)) as engine:
        await engine.start("only", {}, "p")
        await harness.answer("p", await harness.until_asked("p"), "no", by="maria")
        assert (await harness.outcome(engine, "p")).result == "Ten percent."
    await harness.events("p")
    plan = await harness.snapshot("p")
    assert [(call.phase, call.result) for call in plan.tool_calls] == [("error", "maria said no.")]


async def test_a_run_that_fails_fails_the_step_and_leaves_nothing_open(harness: EngineHarness) -> None:
    def look(_: Shop) -> Shop:
        call = {"name": "orders", "args": {"month": "May", "agent": "x"}, "id": "call-1"}
        return {"messages": [AIMessage("One moment.", tool_calls=[call])]}

    def fail(_: Shop) -> Shop:
        raise ValueError("the till is empty")

    graph = chain({"look": look, "fail": fail, "tools": ToolNode([orders])})

    async def offer(ctx: Context) -> Any:
        return await run_langgraph(ctx, graph, {})

    async with harness.engine(only(offer)) as engine:
        await engine.start("only", {}, "p")
        ended = await harness.outcome(engine, "p")
    assert ended.status == "error"
    await harness.events("p")
    plan = await harness.snapshot("p")
    assert plan.status == "error"
    assert not any(message.streaming for message in plan.messages)
    assert [call.phase for call in plan.tool_calls] == ["error"]


async def test_a_cancelled_plan_stops_the_graph(harness: EngineHarness) -> None:
    stopped = asyncio.Event()

    async def wait(_: Shop) -> Shop:
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()
        return {}

    async def offer(ctx: Context) -> Any:
        return await run_langgraph(ctx, chain({"wait": wait}), {})

    async with harness.engine(only(offer)) as engine:
        await engine.start("only", {}, "p")
        await harness.until_content("p", "Wait")
        await engine.signal("p", "cancel", "maria")
        async with asyncio.timeout(40):
            await stopped.wait()
        assert (await harness.outcome(engine, "p")).status == "cancelled"
    await harness.events("p")
