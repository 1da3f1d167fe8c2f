"""A plan that is cancelled on its page cancels the run on the agent's server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from broadcasters import Broadcaster, PlanCancelled
from plan_engine import Context
from plan_engine.adapters.relay.ag_ui import run_ag_ui
from plan_engine.adapters.relay.ai_sdk import run_ai_sdk
from plan_engine.adapters.relay.langgraph import run_langgraph_server
from tests.plan_engine.adapters.person import Person
from tests.plan_engine.adapters.relay.agents import FOREVER, ScriptedAgent, ScriptedGraph, serving
from tests.plan_engine.harness import EngineHarness
from tests.plan_engine.test_engine import only

Relay = Callable[[Context, str, str], Coroutine[Any, Any, Any]]

AG_UI = [{"type": "RUN_STARTED"}, {"type": "TEXT_MESSAGE_CONTENT", "messageId": "m1", "delta": "I am"}, FOREVER]
AI_SDK = [{"type": "text-start", "id": "t1"}, {"type": "text-delta", "id": "t1", "delta": "I am"}, FOREVER]
GRAPH = [
    ("messages", [{"type": "AIMessageChunk", "id": "m1", "content": "I am"}, {}]),
    ("values", FOREVER),
]


async def cancel_in_the_midst(harness: EngineHarness, agent: ScriptedAgent, relay: Relay) -> None:
    async with serving(agent):

        async def step(ctx: Context) -> Any:
            return await relay(ctx, agent.url, "Go")

        async with harness.engine(only(step)) as engine:
            await engine.start("only", {}, "p")
            await harness.until_content("p", "I am")
            await engine.signal("p", "cancel", "ada")
            assert (await harness.outcome(engine, "p")).status == "cancelled"
        await agent.left.wait()


@pytest.mark.parametrize(("relay", "script"), [(run_ag_ui, AG_UI), (run_ai_sdk, AI_SDK)])
async def test_the_request_is_aborted(harness: EngineHarness, relay: Relay, script: Any) -> None:
    await cancel_in_the_midst(harness, ScriptedAgent(script), relay)


async def test_a_run_of_a_langgraph_server_is_cancelled(harness: EngineHarness) -> None:
    """It would run on otherwise: its clients may leave and come back."""
    graph = ScriptedGraph((GRAPH, {}))
    await cancel_in_the_midst(harness, graph, run_langgraph_server)
    await graph.cancelled.wait()


@pytest.mark.parametrize(
    ("relay", "agent"),
    [
        (run_ag_ui, lambda: ScriptedAgent(AG_UI)),
        (run_ai_sdk, lambda: ScriptedAgent(AI_SDK)),
        (run_langgraph_server, lambda: ScriptedGraph((GRAPH, {}))),
    ],
)
async def test_outside_the_engine_a_person_cancels_the_run_on_the_server(
    relay: Any, agent: Callable[[], ScriptedAgent], broadcaster: Broadcaster, person: Person
) -> None:
    async with serving(agent()) as served:
        running = asyncio.create_task(relay(person.plan_id, served.url, "Go", broadcaster=broadcaster))
        await person.until(lambda plan: any(message.content == "I am" for message in plan.messages))
        await person.requests("cancel")
        with pytest.raises(PlanCancelled, match="maria"):
            await running
        await served.left.wait()
        if isinstance(served, ScriptedGraph):
            await served.cancelled.wait()
    plan = await person.sees()
    assert (plan.status, plan.content) == ("cancelled", "Stopped by maria")
