"""Microsoft Agent Framework: agents with tools and approvals, workflows with requests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from agent_framework import (
    Agent,
    BaseChatClient,
    ChatResponse,
    ChatResponseUpdate,
    Content,
    Executor,
    FunctionInvocationLayer,
    ResponseStream,
    Workflow,
    WorkflowBuilder,
    WorkflowContext,
    handler,
    response_handler,
    tool,
)

from broadcasters import Broadcaster
from plan_engine.adapters.agent_framework import run_agent, run_workflow
from tests.plan_engine.adapters.person import Person, steps_of, words_of

LOOKS = [
    [Content.from_text_reasoning(text="Sales, then.")],
    [Content.from_text("Let me ")],
    [Content.from_text("look.")],
    [Content.from_function_call("call-1", "orders", arguments={"month": "May"})],
]
ADVISES = [[Content.from_text("Ten ")], [Content.from_text("percent.")]]


class Scripted(FunctionInvocationLayer[Any], BaseChatClient[Any]):
    """A chat client that returns given responses, turn by turn."""

    def __init__(self, *turns: Sequence[Sequence[Content]]) -> None:
        super().__init__()
        self._turns = iter(enumerate(turns))

    def _inner_get_response(self, **_: Any) -> Any:
        number, turn = next(self._turns)

        async def updates() -> AsyncIterable[ChatResponseUpdate]:
            for contents in turn:
                yield ChatResponseUpdate(role="assistant", contents=[*contents], message_id=f"message-{number}")

        return ResponseStream(updates(), finalizer=ChatResponse.from_updates)


def orders(month: str) -> str:
    """How many orders there were."""
    return f"12 in {month}"


async def test_messages_thoughts_and_tools_are_reported(broadcaster: Broadcaster, person: Person) -> None:
    agent = Agent(Scripted(LOOKS, ADVISES), name="Analyst", tools=[tool(orders, approval_mode="never_require")])
    response = await run_agent(person.plan_id, agent, "How is May?", broadcaster=broadcaster, title="May")
    assert response.text.endswith("Ten percent.")
    plan = await person.sees()
    assert (plan.status, plan.title) == ("completed", "May")
    assert words_of(plan) == [
        ("Analyst", "thinking", "Sales, then."),
        ("Analyst", "result", "Let me look."),
        ("Analyst", "result", "Ten percent."),
    ]
    (call,) = plan.tool_calls
    assert (call.call_id, call.arguments, call.phase, call.result) == (
        "call-1",
        {"month": "May"},
        "completed",
        "12 in May",
    )


async def test_a_call_whose_arguments_are_streamed_is_reported_once(broadcaster: Broadcaster, person: Person) -> None:
    calls = Content.from_function_call
    bits = [
        [calls("call-1", "orders", arguments="")],
        [calls("", "", arguments='{"month"')],
        [calls("", "", arguments=': "May"}')],
        [calls("call-2", "orders", arguments='{"mon')],
        [calls("call-2", "", arguments='th": "June"}')],
    ]
    agent = Agent(Scripted(bits, ADVISES), name="Analyst", tools=[tool(orders, approval_mode="never_require")])
    await run_agent(person.plan_id, agent, "How is May?", broadcaster=broadcaster)
    told = [(call.call_id, call.arguments, call.result) for call in (await person.sees()).tool_calls]
    assert told == [("call-1", {"month": "May"}, "12 in May"), ("call-2", {"month": "June"}, "12 in June")]


@pytest.mark.parametrize(("answer", "ran"), [("yes", ["May"]), ("no", [])])
async def test_a_tool_that_needs_approval_is_put_to_a_person(
    broadcaster: Broadcaster, person: Person, answer: str, ran: list[str]
) -> None:
    used: list[str] = []

    @tool(approval_mode="always_require")
    def orders(month: str) -> str:
        """How many orders there were."""
        used.append(month)
        return f"12 in {month}"

    agent = Agent(Scripted(LOOKS, ADVISES), name="Analyst", tools=[orders])
    running = asyncio.create_task(run_agent(person.plan_id, agent, "How is May?", broadcaster=broadcaster))
    (asked,) = await person.is_asked()
    assert (asked.kind, asked.prompt) == ("approval", 'Use orders with {"month": "May"}?')
    await person.answers(asked, answer)
    assert (await running).text == "Ten percent."
    assert used == ran
    plan = await person.sees()
    assert plan.status == "completed"
    assert len(plan.tool_calls) == 1


@dataclass
class Offer:
    question: str


class Look(Executor):
    @handler
    async def look(self, month: str, context: WorkflowContext[str]) -> None:
        if month == "Smarch":
            raise ValueError("there is no such month")
        await context.send_message(f"12 orders in {month}")


class Send(Executor):
    @handler
    async def offer(self, found: str, context: WorkflowContext[str, str]) -> None:
        await context.request_info(Offer(f"{found}: send it?"), bool)

    @response_handler
    async def sent(self, _: Offer, agreed: bool, context: WorkflowContext[str, str]) -> None:
        await context.yield_output("Sent." if agreed else "Kept.")


def shop() -> Workflow:
    look, send = Look(id="look_up"), Send(id="send")
    return WorkflowBuilder(start_executor=look).add_edge(look, send).build()


@pytest.mark.parametrize(("answer", "output"), [({"approved": True}, "Sent."), ("no", "Kept.")])
async def test_a_workflow_asks_a_person_and_continues_with_the_answer(
    broadcaster: Broadcaster, person: Person, answer: Any, output: str
) -> None:
    running = asyncio.create_task(run_workflow(person.plan_id, shop(), "May", broadcaster=broadcaster))
    (asked,) = await person.is_asked()
    assert (asked.kind, asked.prompt) == ("approval", "12 orders in May: send it?")
    assert steps_of(await person.sees()) == [("Look up", "completed"), ("Send", "waiting")]
    await person.answers(asked, answer)
    assert await running == [output]
    plan = await person.sees()
    assert steps_of(plan) == [("Look up", "completed"), ("Send", "completed")]
    assert words_of(plan) == [("Send", "result", output)]
    assert (plan.status, plan.result) == ("completed", {"result": output})


async def test_an_executor_that_fails_fails_its_step_and_the_plan(broadcaster: Broadcaster, person: Person) -> None:
    with pytest.raises(Exception, match="no such month"):
        await run_workflow(person.plan_id, shop(), "Smarch", broadcaster=broadcaster)
    plan = await person.sees()
    assert (plan.status, steps_of(plan)) == ("error", [("Look up", "error")])
    assert "no such month" in (plan.content or "")


async def test_messages_of_agents_in_a_workflow_are_streamed(broadcaster: Broadcaster, person: Person) -> None:
    agent = Agent(Scripted(ADVISES), name="Advisor")
    workflow = WorkflowBuilder(start_executor=agent).build()
    (response,) = await run_workflow(person.plan_id, workflow, "How is May?", broadcaster=broadcaster)
    assert response.text == "Ten percent."
    plan = await person.sees()
    assert words_of(plan) == [("Advisor", "result", "Ten percent.")]
    assert steps_of(plan) == [("Advisor", "completed")]
    assert (plan.status, plan.result) == ("completed", {"result": "Ten percent."})
