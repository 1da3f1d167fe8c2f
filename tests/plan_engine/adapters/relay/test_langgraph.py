"""The runs of a LangGraph server as a plan, read by its own client."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from broadcasters import Broadcaster
from plan_engine.adapters.relay.langgraph import run_langgraph_server
from plan_engine.adapters.relay.server import ServerFailed
from tests.plan_engine.adapters.person import Person, steps_of
from tests.plan_engine.adapters.relay.agents import ScriptedGraph, serving

NODE = {"langgraph_node": "look_up"}
DONE: dict[str, Any] = {"values": {}, "next": [], "tasks": []}


def piece(text: Any, **fields: Any) -> tuple[str, Any]:
    return "messages", [{"type": "AIMessageChunk", "id": "m1", "content": text, **fields}, NODE]


def task(**fields: Any) -> tuple[str, Any]:
    return "tasks", {"id": "1", "name": "look_up", **fields}


async def test_a_run_is_a_plan(broadcaster: Broadcaster, person: Person) -> None:
    call = {"id": "c1", "name": "search", "args": {"q": "tea"}}
    run = [
        ("metadata", {"run_id": "r1"}),
        task(input={}, triggers=[]),
        piece("Three "),
        piece([{"type": "text", "text": "teas."}]),
        piece("", tool_calls=[call], chunk_position="last"),
        ("messages", [{"type": "tool", "tool_call_id": "c1", "content": "3 found"}, NODE]),
        task(result={"count": 3, "messages": []}, interrupts=[]),
        ("values", {"count": 3, "messages": [{"type": "ai", "content": "Three teas."}]}),
    ]
    async with serving(ScriptedGraph((run, DONE))) as graph:
        values = await run_langgraph_server(
            person.plan_id, graph.url, "Find tea", assistant="teas", fields={"limit": 3}, broadcaster=broadcaster
        )
    [asked] = graph.requests
    assert asked["assistant_id"] == "teas"
    assert asked["input"] == {"messages": [{"role": "user", "content": "Find tea"}], "limit": 3}
    plan = await person.sees()
    assert values["count"] == 3
    assert (plan.status, plan.result, steps_of(plan)) == (
        "completed",
        {"result": {"count": 3}},
        [("Look up", "completed")],
    )
    assert [(one.agent_name, one.content) for one in plan.messages] == [("Look up", "Three teas.")]
    [tool] = plan.tool_calls
    assert (tool.tool_name, tool.arguments, tool.result) == ("search", {"q": "tea"}, "3 found")


async def test_an_interrupt_is_a_question_and_the_answer_resumes_the_run(
    broadcaster: Broadcaster, person: Person
) -> None:
    asks = {**DONE, "next": ["look_up"], "tasks": [{"id": "1", "interrupts": [{"id": "i1", "value": "Send it?"}]}]}
    first = ([task(input={}), task(result={}, interrupts=[{"id": "i1"}])], asks)
    then = ([task(input={}), task(result={}, interrupts=[]), ("values", {"sent": True})], DONE)
    async with serving(ScriptedGraph(first, then)) as graph:
        running = asyncio.create_task(run_langgraph_server(person.plan_id, graph.url, "Go", broadcaster=broadcaster))
        asked = await person.until(lambda plan: plan.status == "waiting")
        [question] = asked.inputs
        assert question.prompt == "Send it?"
        await broadcaster.send_input_response(person.plan_id, question.request_id, "yes", by="ada")
        assert await running == {"sent": True}
    assert graph.requests[1]["command"] == {"resume": {"i1": "yes"}}


async def test_a_run_that_fails_ends_the_plan(broadcaster: Broadcaster, person: Person) -> None:
    failed = ([task(input={}), ("error", {"error": "ValueError", "message": "no model"})], DONE)
    async with serving(ScriptedGraph(failed)) as graph:
        with pytest.raises(ServerFailed, match="ValueError: no model"):
            await run_langgraph_server(person.plan_id, graph.url, "Go", broadcaster=broadcaster)
    plan = await person.sees()
    assert (plan.status, "no model" in (plan.content or "")) == ("error", True)


async def test_a_server_that_hangs_up(broadcaster: Broadcaster, person: Person) -> None:
    """One that can't be reached fails in the same way, after the client's own attempts."""

    def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        with pytest.raises(ServerFailed, match=url):
            await run_langgraph_server(person.plan_id, url, "Go", broadcaster=broadcaster)
