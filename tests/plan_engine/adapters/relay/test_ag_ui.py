"""An AG-UI server's runs as a plan."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from broadcasters import Broadcaster
from plan_engine.adapters.relay.ag_ui import run_ag_ui
from plan_engine.adapters.relay.server import ServerFailed
from tests.plan_engine.adapters.person import Person, steps_of
from tests.plan_engine.adapters.relay.agents import ScriptedAgent, serving

Event = dict[str, Any]
START: Event = {"type": "RUN_STARTED", "threadId": "t", "runId": "r"}
FINISH: Event = {"type": "RUN_FINISHED", "threadId": "t", "runId": "r"}


def text(key: str, *deltas: str, **start: Any) -> list[Event]:
    pieces = [{"type": "TEXT_MESSAGE_CONTENT", "messageId": key, "delta": delta} for delta in deltas]
    return [
        {"type": "TEXT_MESSAGE_START", "messageId": key, "role": "assistant", **start},
        *pieces,
        {"type": "TEXT_MESSAGE_END", "messageId": key},
    ]


def interrupt(**fields: Any) -> Event:
    outcome = {"type": "interrupt", "interrupts": [{"id": "i1", "reason": "approval", **fields}]}
    return {**FINISH, "outcome": outcome}


async def test_a_run_is_a_plan(broadcaster: Broadcaster, person: Person) -> None:
    reasoning = [
        {"type": "REASONING_MESSAGE_START", "messageId": "m", "role": "reasoning"},
        {"type": "REASONING_MESSAGE_CONTENT", "messageId": "m", "delta": "hm"},
        {"type": "REASONING_MESSAGE_END", "messageId": "m"},
    ]
    tool = [
        {"type": "TOOL_CALL_START", "toolCallId": "c", "toolCallName": "search"},
        {"type": "TOOL_CALL_ARGS", "toolCallId": "c", "delta": '{"q":'},
        {"type": "TOOL_CALL_ARGS", "toolCallId": "c", "delta": '"tea"}'},
        {"type": "TOOL_CALL_END", "toolCallId": "c"},
        {"type": "TOOL_CALL_RESULT", "messageId": "r", "toolCallId": "c", "content": "3 found"},
    ]
    step = [{"type": "STEP_STARTED", "stepName": "look_up"}, {"type": "STEP_FINISHED", "stepName": "look_up"}]
    said = [*step[:1], *reasoning, *text("m", "Three ", "teas.", name="Buyer"), *tool, *step[1:]]
    async with serving(ScriptedAgent([START, *said, {**FINISH, "result": {"count": 3}}])) as agent:
        headers = {"Authorization": "Bearer x"}
        result = await run_ag_ui(
            person.plan_id, agent.url, "Find tea", fields={"limit": 3}, headers=headers, broadcaster=broadcaster
        )
    [asked] = agent.requests
    assert (asked["threadId"], asked["forwardedProps"]) == (person.plan_id, {"limit": 3})
    assert [(one["role"], one["content"]) for one in asked["messages"]] == [("user", "Find tea")]
    assert agent.headers[0]["authorization"] == "Bearer x"
    plan = await person.sees()
    assert result == {"count": 3}
    assert (plan.status, plan.title, plan.result) == ("completed", "Find tea", {"result": {"count": 3}})
    assert steps_of(plan) == [("Look up", "completed")]
    assert [(one.agent_name, one.message_type, one.content, one.step_id) for one in plan.messages] == [
        ("Agent", "thinking", "hm", "look_up"),
        ("Buyer", "result", "Three teas.", "look_up"),
    ]
    [call] = plan.tool_calls
    assert (call.tool_name, call.arguments, call.result, call.phase) == ("search", {"q": "tea"}, "3 found", "completed")


async def test_an_interrupt_is_a_question_and_the_answer_resumes_the_run(
    broadcaster: Broadcaster, person: Person
) -> None:
    first = [START, *text("m1", "Shall I?"), interrupt(message="Send it?", responseSchema={"type": "boolean"})]
    async with serving(ScriptedAgent(first, [START, *text("m2", "Sent."), FINISH])) as agent:
        running = asyncio.create_task(run_ag_ui(person.plan_id, agent.url, "Go", broadcaster=broadcaster))
        asked = await person.until(lambda plan: plan.status == "waiting")
        [question] = asked.inputs
        assert (question.prompt, question.json_schema) == ("Send it?", {"type": "boolean"})
        await broadcaster.send_input_response(person.plan_id, question.request_id, True, by="ada")
        await running
    again = agent.requests[1]
    assert again["resume"] == [{"interruptId": "i1", "status": "resolved", "payload": True}]
    assert [one["content"] for one in again["messages"]] == ["Go", "Shall I?"]
    assert again["runId"] != agent.requests[0]["runId"]
    plan = await person.sees()
    assert (plan.status, [one.content for one in plan.messages]) == ("completed", ["Shall I?", "Sent."])


async def test_a_message_that_goes_on_after_its_end_is_another_message(
    broadcaster: Broadcaster, person: Person
) -> None:
    async with serving(ScriptedAgent([START, *text("m", "one"), *text("m", "two"), FINISH])) as agent:
        await run_ag_ui(person.plan_id, agent.url, "Go", broadcaster=broadcaster)
    assert [one.content for one in (await person.sees()).messages] == ["one", "two"]


@pytest.mark.parametrize(
    ("response", "problem"),
    [
        ([START, *text("m", "half")[:2]], "ended before the run did"),
        ([START, {"type": "RUN_ERROR", "message": "no model"}], "no model"),
        ([START, {**FINISH, "outcome": {"type": "cancelled"}}], "cancelled"),
        ((401, "who are you?"), "401: who are you?"),
    ],
)
async def test_a_run_that_fails_ends_the_plan(
    broadcaster: Broadcaster, person: Person, response: Any, problem: str
) -> None:
    async with serving(ScriptedAgent(response)) as agent:
        with pytest.raises(ServerFailed, match=problem):
            await run_ag_ui(person.plan_id, agent.url, "Go", broadcaster=broadcaster)
    plan = await person.sees()
    assert plan.status == "error"
    assert problem in (plan.content or "")
    assert not any(message.streaming for message in plan.messages)
