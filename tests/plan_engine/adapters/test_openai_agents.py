"""The OpenAI Agents SDK: messages, tools, handoffs, and approvals."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from agents import Agent, RunConfig, Tool, function_tool
from agents.testing import ScriptedModel, assistant_message, function_call

from broadcasters import Broadcaster
from plan_engine.adapters.openai_agents import run_openai_agent
from tests.plan_engine.adapters.person import Person, words_of

SILENT = RunConfig(tracing_disabled=True)
USES_TOOL = [assistant_message("Let me look."), function_call("orders", {"month": "May"}, call_id="call-1")]
ADVICE = [assistant_message("Ten percent.")]


def orders_tool(*, needs_approval: bool) -> Tool:
    @function_tool(needs_approval=needs_approval)
    def orders(month: str) -> str:
        """How many orders there were."""
        return f"12 in {month}"

    return orders


def analyst(*turns: Any, needs_approval: bool = False, **more: Any) -> Agent[Any]:
    tools = [orders_tool(needs_approval=needs_approval)]
    return Agent(name="Analyst", tools=tools, model=ScriptedModel(turns), **more)


async def test_messages_and_tools_are_reported(broadcaster: Broadcaster, person: Person) -> None:
    agent = analyst(USES_TOOL, ADVICE)
    result = await run_openai_agent(
        person.plan_id, agent, "How is May?", broadcaster=broadcaster, title="May", run_config=SILENT
    )
    assert result.final_output == "Ten percent."
    plan = await person.sees()
    assert (plan.status, plan.title, plan.result) == ("completed", "May", {"result": "Ten percent."})
    assert words_of(plan) == [("Analyst", "result", "Let me look."), ("Analyst", "result", "Ten percent.")]
    (call,) = plan.tool_calls
    assert (call.call_id, call.tool_name, call.arguments) == ("call-1", "orders", {"month": "May"})
    assert (call.phase, call.result) == ("completed", "12 in May")


async def test_a_handoff_changes_the_agents_name(broadcaster: Broadcaster, person: Person) -> None:
    advisor = Agent(name="Advisor", model=ScriptedModel([ADVICE]))
    agent = analyst([function_call("transfer_to_advisor", {}, call_id="call-2")], handoffs=[advisor])
    await run_openai_agent(person.plan_id, agent, "Hello", broadcaster=broadcaster, run_config=SILENT)
    assert words_of(await person.sees()) == [
        ("Analyst", "action", "Handing over to Advisor."),
        ("Advisor", "result", "Ten percent."),
    ]


@pytest.mark.parametrize(
    ("answer", "result"),
    [("yes", "12 in May"), ({"approved": False, "reason": "Not on a Friday."}, "Not on a Friday.")],
)
async def test_a_tool_that_needs_approval_is_put_to_a_person(
    broadcaster: Broadcaster, person: Person, answer: Any, result: str
) -> None:
    agent = analyst(USES_TOOL, ADVICE, needs_approval=True)
    run = run_openai_agent(person.plan_id, agent, "How is May?", broadcaster=broadcaster, run_config=SILENT)
    running = asyncio.create_task(run)
    (asked,) = await person.is_asked()
    assert (asked.kind, asked.prompt) == ("approval", 'Use orders with {"month": "May"}?')
    await person.answers(asked, answer)
    assert (await running).final_output == "Ten percent."
    plan = await person.sees()
    assert [call.result for call in plan.tool_calls] == [result]
    assert [content for _, _, content in words_of(plan)] == ["Let me look.", "Ten percent."]


async def test_a_model_that_fails_ends_the_plan_with_its_error(broadcaster: Broadcaster, person: Person) -> None:
    agent = analyst(ConnectionError("the model is away"))
    with pytest.raises(ConnectionError):
        await run_openai_agent(person.plan_id, agent, "Hello", broadcaster=broadcaster, run_config=SILENT)
    plan = await person.sees()
    assert (plan.status, plan.content) == ("error", "ConnectionError: the model is away")
