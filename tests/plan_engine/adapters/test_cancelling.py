"""With each framework: a run that is cancelled, by its task or by a person, leaves nothing open, and ends as cancelled."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest
from agent_framework import Agent as FrameworkAgent
from agent_framework import BaseChatClient, ChatResponse, ChatResponseUpdate, Content, ResponseStream, WorkflowBuilder
from agents import Agent as SdkAgent
from agents import RunConfig
from agents.testing import ModelStep, ScriptedModel
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from openai.types.responses import ResponseTextDeltaEvent
from pydantic_ai import Agent as PydanticAgent
from pydantic_ai.models.function import FunctionModel

from broadcasters import Broadcaster, PlanCancelled
from plan_engine.adapters.agent_framework import run_agent, run_workflow
from plan_engine.adapters.langgraph import run_langgraph
from plan_engine.adapters.openai_agents import run_openai_agent
from plan_engine.adapters.pydantic_ai import run_pydantic_ai
from tests.plan_engine.adapters.graphs import Shop, chain
from tests.plan_engine.adapters.person import Person

Run = Callable[[str, Broadcaster], Coroutine[Any, Any, Any]]


class Gone:
    """A model that stops in the middle of a message. `left` is set when it is cancelled."""

    def __init__(self) -> None:
        self.left = asyncio.Event()

    async def words(self) -> AsyncIterator[str]:
        try:
            yield "I was just"
            await asyncio.Event().wait()
        finally:
            self.left.set()


def langgraph(gone: Gone) -> Run:
    class Model(BaseChatModel):
        @property
        def _llm_type(self) -> str:
            return "gone"

        def _generate(self, *_: Any, **__: Any) -> ChatResult:
            raise AssertionError("it streams")

        async def _astream(self, *_: Any, **__: Any) -> AsyncIterator[ChatGenerationChunk]:
            async for word in gone.words():
                yield ChatGenerationChunk(message=AIMessageChunk(content=word))

    async def speak(_: Shop) -> Shop:
        return {"messages": [await Model().ainvoke("?")]}

    return lambda plan_id, b: run_langgraph(plan_id, chain({"speak": speak}), {}, broadcaster=b)


def pydantic_ai(gone: Gone) -> Run:
    async def model(*_: Any) -> AsyncIterator[str]:
        async for word in gone.words():
            yield word

    agent = PydanticAgent(FunctionModel(stream_function=model))
    return lambda plan_id, b: run_pydantic_ai(plan_id, agent, "?", broadcaster=b)


def openai_agents(gone: Gone) -> Run:
    async def events(_: Any) -> AsyncIterator[Any]:
        async for word in gone.words():
            yield ResponseTextDeltaEvent(
                content_index=0,
                delta=word,
                item_id="m",
                logprobs=[],
                output_index=0,
                sequence_number=1,
                type="response.output_text.delta",
            )

    agent: SdkAgent[Any] = SdkAgent(name="Analyst", model=ScriptedModel([ModelStep(stream_events=events)]))
    silent = RunConfig(tracing_disabled=True)
    return lambda plan_id, b: run_openai_agent(plan_id, agent, "?", broadcaster=b, run_config=silent)


def framework_agent(gone: Gone) -> FrameworkAgent[Any]:
    class Client(BaseChatClient[Any]):
        def _inner_get_response(self, **_: Any) -> Any:
            async def updates() -> AsyncIterator[ChatResponseUpdate]:
                async for word in gone.words():
                    yield ChatResponseUpdate(role="assistant", contents=[Content.from_text(word)], message_id="m")

            return ResponseStream(updates(), finalizer=ChatResponse.from_updates)

    return FrameworkAgent(Client(), name="Analyst")


def agent_framework(gone: Gone) -> Run:
    agent = framework_agent(gone)
    return lambda plan_id, b: run_agent(plan_id, agent, "?", broadcaster=b)


def workflow(gone: Gone) -> Run:
    built = WorkflowBuilder(start_executor=framework_agent(gone)).build()
    return lambda plan_id, b: run_workflow(plan_id, built, "?", broadcaster=b)


@pytest.mark.parametrize("framework", [langgraph, pydantic_ai, openai_agents, agent_framework, workflow])
async def test_cancelled_in_the_middle_of_a_message(
    framework: Callable[[Gone], Run], broadcaster: Broadcaster, person: Person
) -> None:
    gone = Gone()
    running = asyncio.create_task(framework(gone)(person.plan_id, broadcaster))
    await person.until(lambda plan: any("just" in message.content for message in plan.messages))
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    plan = await person.sees()
    assert (plan.status, plan.content) == ("cancelled", "Cancelled.")
    assert [(message.streaming, message.error) for message in plan.messages] == [(False, "cancelled")]
    assert all(step.status == "cancelled" for step in plan.steps)
    async with asyncio.timeout(30):
        await gone.left.wait()


@pytest.mark.parametrize("framework", [langgraph, pydantic_ai, openai_agents, agent_framework, workflow])
async def test_a_person_cancels_in_the_middle_of_a_message(
    framework: Callable[[Gone], Run], broadcaster: Broadcaster, person: Person
) -> None:
    gone = Gone()
    running = asyncio.create_task(framework(gone)(person.plan_id, broadcaster))
    working = await person.until(lambda plan: any("just" in message.content for message in plan.messages))
    assert working.worker is not None
    assert working.worker.obeys == ("cancel", "pause", "resume")
    clicked = time.monotonic()
    await person.requests("cancel")
    plan = await person.until(lambda plan: plan.worker and plan.worker.state == "released")
    print(f"{framework.__name__}: cancelled {time.monotonic() - clicked:.3f} s after the click")
    with pytest.raises(PlanCancelled, match="maria cancelled"):
        await running
    assert (plan.status, plan.content) == ("cancelled", "Stopped by maria")
    assert [(message.streaming, message.error) for message in plan.messages if message.message_type == "result"] == [
        (False, "cancelled")
    ]
    assert all(step.status == "cancelled" for step in plan.steps)
    async with asyncio.timeout(30):
        await gone.left.wait()
