"""Pydantic AI: messages, thoughts, tools, and approvals."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic import BaseModel
from pydantic_ai import Agent, DeferredToolRequests, ModelRetry
from pydantic_ai.messages import ModelMessage
from pydantic_ai.models.function import AgentInfo, DeltaThinkingPart, DeltaToolCall, FunctionModel
from pydantic_ai.models.test import TestModel

from broadcasters import Broadcaster
from plan_engine.adapters.pydantic_ai import run_pydantic_ai
from tests.plan_engine.adapters.person import Person, words_of


async def analyst(messages: list[ModelMessage], _: AgentInfo) -> AsyncIterator[Any]:
    """Thinks, uses a tool, and then gives its advice."""
    if len(messages) == 1:
        yield {0: DeltaThinkingPart(content="Sales, ")}
        yield {0: DeltaThinkingPart(content="then.")}
        yield "Let me "
        yield "look."
        yield {2: DeltaToolCall(name="orders", json_args='{"month": "May"}', tool_call_id="call-1")}
    else:
        yield "Ten "
        yield "percent."


async def test_messages_thoughts_and_tools_are_reported_as_they_come(broadcaster: Broadcaster, person: Person) -> None:
    agent = Agent(FunctionModel(stream_function=analyst), name="Data Analyst")

    @agent.tool_plain
    def orders(month: str) -> int:
        return 12

    result = await run_pydantic_ai(person.plan_id, agent, "How is May?", broadcaster=broadcaster, title="May")
    assert result.output == "Ten percent."
    plan = await person.sees()
    assert (plan.status, plan.title, plan.result) == ("completed", "May", {"result": "Ten percent."})
    assert words_of(plan) == [
        ("Data Analyst", "thinking", "Sales, then."),
        ("Data Analyst", "result", "Let me look."),
        ("Data Analyst", "result", "Ten percent."),
    ]
    (call,) = plan.tool_calls
    assert (call.call_id, call.phase, call.arguments, call.result) == ("call-1", "completed", {"month": "May"}, 12)


@pytest.mark.parametrize(
    ("answer", "phase", "result"),
    [
        ({"approved": True}, "completed", 12),
        ({"approved": False, "reason": "Not on a Friday."}, "error", "Not on a Friday."),
    ],
)
async def test_a_tool_that_needs_approval_is_put_to_a_person(
    broadcaster: Broadcaster, person: Person, answer: Any, phase: str, result: Any
) -> None:
    agent = Agent(FunctionModel(stream_function=analyst), name="Analyst", output_type=[str, DeferredToolRequests])
    agent.tool_plain(requires_approval=True)(orders)
    running = asyncio.create_task(run_pydantic_ai(person.plan_id, agent, "How is May?", broadcaster=broadcaster))
    (asked,) = await person.is_asked()
    assert (asked.kind, asked.prompt) == ("approval", 'Use orders with {"month": "May"}?')
    await person.answers(asked, answer)
    assert (await running).output == "Ten percent."
    plan = await person.sees()
    (call,) = plan.tool_calls
    assert (call.phase, call.result) == (phase, result)
    assert plan.status == "completed"


def orders(month: str) -> int:
    """How many orders there were."""
    return 12


async def test_a_tool_that_is_retried_is_reported_as_failed_first(broadcaster: Broadcaster, person: Person) -> None:
    agent = Agent(TestModel(), name="Analyst")
    tries: list[int] = []

    @agent.tool_plain
    def flaky() -> str:
        tries.append(1)
        if len(tries) == 1:
            raise ModelRetry("not yet")
        return "now"

    await run_pydantic_ai(person.plan_id, agent, "Go", broadcaster=broadcaster)
    assert [call.phase for call in (await person.sees()).tool_calls] == ["error", "completed"]


async def test_a_typed_output_is_the_plans_result(broadcaster: Broadcaster, person: Person) -> None:
    class Advice(BaseModel):
        percent: int

    agent = Agent(TestModel(custom_output_args={"percent": 10}), output_type=Advice)
    result = await run_pydantic_ai(person.plan_id, agent, "Go", broadcaster=broadcaster)
    assert result.output == Advice(percent=10)
    assert (await person.sees()).result == {"result": {"percent": 10}}


async def test_an_agent_that_fails_leaves_nothing_open(broadcaster: Broadcaster, person: Person) -> None:
    async def fails(_: list[ModelMessage], __: AgentInfo) -> AsyncIterator[str]:
        yield "I was "
        yield "just about"
        raise ConnectionError("the model is away")

    agent = Agent(FunctionModel(stream_function=fails), name="Analyst")
    with pytest.raises(ConnectionError):
        await run_pydantic_ai(person.plan_id, agent, "Go", broadcaster=broadcaster)
    plan = await person.sees()
    assert (plan.status, plan.content) == ("error", "ConnectionError: the model is away")
    (message,) = plan.messages
    assert (message.streaming, message.error) == (False, "the agent failed: ConnectionError")


async def test_a_new_run_withdraws_the_question_of_the_earlier_one(
    log_url: str, broadcaster: Broadcaster, person: Person
) -> None:
    agent = Agent(FunctionModel(stream_function=analyst), name="Analyst", output_type=[str, DeferredToolRequests])
    agent.tool_plain(requires_approval=True)(orders)
    dying = await Broadcaster(log_url).open()
    first = asyncio.create_task(run_pydantic_ai(person.plan_id, agent, "How is May?", broadcaster=dying))
    await person.is_asked()
    await dying.close()
    first.cancel()
    await asyncio.wait([first])

    await run_pydantic_ai(person.plan_id, Agent(TestModel(), name="Analyst"), "Go", broadcaster=broadcaster)
    plan = await person.sees()
    assert [(request.by, request.answer) for request in plan.inputs] == [("withdrawn", None)]
    assert [call.phase for call in plan.tool_calls] == ["error"]
    assert plan.status == "completed"
