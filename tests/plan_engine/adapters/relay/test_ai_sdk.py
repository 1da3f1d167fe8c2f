"""The UI message streams of an AI SDK server as a plan."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from broadcasters import Broadcaster
from plan_engine.adapters.relay.ai_sdk import run_ai_sdk
from plan_engine.adapters.relay.server import ServerFailed
from tests.plan_engine.adapters.person import Person
from tests.plan_engine.adapters.relay.agents import ScriptedAgent, serving

Chunk = dict[str, Any]
START: Chunk = {"type": "start", "messageId": "a1"}
FINISH: Chunk = {"type": "finish"}


def text(key: str, *deltas: str, kind: str = "text") -> list[Chunk]:
    pieces = [{"type": f"{kind}-delta", "id": key, "delta": delta} for delta in deltas]
    return [{"type": f"{kind}-start", "id": key}, *pieces, {"type": f"{kind}-end", "id": key}]


def call(call_id: str, **fields: Any) -> Chunk:
    return {
        "type": "tool-input-available",
        "toolCallId": call_id,
        "toolName": "search",
        "input": {"q": "tea"},
        **fields,
    }


async def test_a_message_is_a_plan(broadcaster: Broadcaster, person: Person) -> None:
    tools: list[Chunk] = [
        call("c1"),
        {"type": "tool-output-available", "toolCallId": "c1", "output": 3},
        call("c2", dynamic=True),
        {"type": "tool-output-error", "toolCallId": "c2", "errorText": "away"},
    ]
    said = [START, *text("r", "hm", kind="reasoning"), *tools, *text("t", "Three ", "teas."), FINISH]
    async with serving(ScriptedAgent(said)) as agent:
        result = await run_ai_sdk(person.plan_id, agent.url, "Find tea", fields={"limit": 3}, broadcaster=broadcaster)
    [asked] = agent.requests
    assert (asked["id"], asked["limit"], asked["trigger"]) == (person.plan_id, 3, "submit-message")
    assert [one["parts"] for one in asked["messages"]] == [[{"type": "text", "text": "Find tea"}]]
    plan = await person.sees()
    assert (result, plan.status, plan.result) == ("Three teas.", "completed", {"result": "Three teas."})
    assert [(one.message_type, one.content) for one in plan.messages] == [("thinking", "hm"), ("result", "Three teas.")]
    assert [(one.phase, one.result) for one in plan.tool_calls] == [("completed", 3), ("error", "away")]


@pytest.mark.parametrize("answer", ["yes", "no"])
async def test_an_approval_is_a_question_and_the_answer_goes_back(
    broadcaster: Broadcaster, person: Person, answer: str
) -> None:
    asks = [
        START,
        *text("t", "Let me."),
        call("c1"),
        {"type": "tool-approval-request", "approvalId": "p1", "toolCallId": "c1"},
    ]
    output: Chunk = {"type": "tool-output-available", "toolCallId": "c1", "output": "sent"}
    denied: Chunk = {"type": "tool-output-denied", "toolCallId": "c1"}
    then = [START, output if answer == "yes" else denied, *text("t2", "Done."), FINISH]
    async with serving(ScriptedAgent([*asks, FINISH], then)) as agent:
        running = asyncio.create_task(run_ai_sdk(person.plan_id, agent.url, "Go", broadcaster=broadcaster))
        asked = await person.until(lambda plan: plan.status == "waiting")
        [question] = asked.inputs
        assert question.kind == "approval"
        await broadcaster.send_input_response(person.plan_id, question.request_id, answer, by="ada")
        assert await running == "Done."
    [_, reply] = agent.requests[1]["messages"]
    [words, tool] = reply["parts"]
    assert (reply["id"], reply["role"], words["text"]) == ("a1", "assistant", "Let me.")
    assert (tool["state"], tool["approval"]["approved"]) == ("approval-responded", answer == "yes")
    plan = await person.sees()
    assert [one.content for one in plan.messages] == ["Let me.", "Done."]
    assert [one.phase for one in plan.tool_calls] == ["completed" if answer == "yes" else "error"]


@pytest.mark.parametrize(
    ("response", "problem"),
    [
        ([START, *text("t", "half")[:2]], "ended before the message did"),
        ([START, {"type": "error", "errorText": "no model"}], "no model"),
        ([START, {"type": "abort"}], "aborted"),
        ((500, "oops"), "500: oops"),
    ],
)
async def test_a_run_that_fails_ends_the_plan(
    broadcaster: Broadcaster, person: Person, response: Any, problem: str
) -> None:
    async with serving(ScriptedAgent(response)) as agent:
        with pytest.raises(ServerFailed, match=problem):
            await run_ai_sdk(person.plan_id, agent.url, "Go", broadcaster=broadcaster)
    plan = await person.sees()
    assert (plan.status, problem in (plan.content or "")) == ("error", True)
    assert not any(message.streaming for message in plan.messages)
