"""With each framework: while a plan is paused, its run begins nothing more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest
from agent_framework import Agent as FrameworkAgent
from agent_framework import (
    BaseChatClient,
    ChatResponse,
    ChatResponseUpdate,
    Content,
    Executor,
    FunctionInvocationLayer,
    ResponseStream,
    WorkflowBuilder,
    WorkflowContext,
    handler,
    tool,
)
from agents import Agent as SdkAgent
from agents import RunConfig, RunHooks, function_tool
from agents.testing import ScriptedModel, assistant_message, function_call
from pydantic_ai import Agent as PydanticAgent
from pydantic_ai.models.function import AgentInfo, DeltaToolCall, FunctionModel

from broadcasters import Broadcaster
from plan_engine.adapters.agent_framework import run_agent, run_workflow
from plan_engine.adapters.langgraph import run_langgraph
from plan_engine.adapters.openai_agents import run_openai_agent
from plan_engine.adapters.pydantic_ai import run_pydantic_ai
from tests.plan_engine.adapters.graphs import Shop, chain
from tests.plan_engine.adapters.person import Person

Run = Callable[[str, Broadcaster], Coroutine[Any, Any, Any]]


class Work:
    """What an agent does: `first`, for as long as the test wants, then `second`."""

    def __init__(self) -> None:
        self.happened: list[str] = []
        self.begun, self.go_on = asyncio.Event(), asyncio.Event()

    async def first(self) -> str:
        self.begun.set()
        await self.go_on.wait()
        self.happened.append("first")
        return "12 in May"

    def second(self) -> str:
        self.happened.append("second")
        return "Ten percent."


def langgraph(work: Work) -> Run:
    async def first(_: Shop) -> Shop:
        return {"notes": [await work.first()]}

    def second(_: Shop) -> Shop:
        return {"notes": [work.second()]}

    graph = chain({"first": first, "second": second})
    return lambda plan_id, b: run_langgraph(plan_id, graph, {}, broadcaster=b)


def pydantic_ai(work: Work) -> Run:
    async def model(messages: list[Any], _: AgentInfo) -> AsyncIterator[Any]:
        if len(messages) == 1:
            yield {0: DeltaToolCall(name="first", json_args="{}", tool_call_id="call-1")}
        else:
            yield work.second()

    agent = PydanticAgent(FunctionModel(stream_function=model), tools=[work.first])
    return lambda plan_id, b: run_pydantic_ai(plan_id, agent, "?", broadcaster=b)


def openai_agents(work: Work) -> Run:
    class Hooks(RunHooks[Any]):
        async def on_llm_start(self, *_: Any, **__: Any) -> None:
            if "first" in work.happened:
                work.second()

    tools = [function_tool(work.first)]
    model = ScriptedModel([[function_call("first", {}, call_id="call-1")], [assistant_message("Ten percent.")]])
    agent: SdkAgent[Any] = SdkAgent(name="Analyst", tools=[*tools], model=model)
    more: dict[str, Any] = {"run_config": RunConfig(tracing_disabled=True), "hooks": Hooks()}
    return lambda plan_id, b: run_openai_agent(plan_id, agent, "?", broadcaster=b, **more)


def agent_framework(work: Work) -> Run:
    class Client(FunctionInvocationLayer[Any], BaseChatClient[Any]):
        def _inner_get_response(self, *, messages: Any, **_: Any) -> Any:
            async def updates() -> AsyncIterator[ChatResponseUpdate]:
                called = any(one.type == "function_result" for message in messages for one in message.contents)
                call = Content.from_function_call("call-1", "first", arguments="{}")
                content = Content.from_text(work.second()) if called else call
                yield ChatResponseUpdate(role="assistant", contents=[content], message_id="m")

            return ResponseStream(updates(), finalizer=ChatResponse.from_updates)

    agent: FrameworkAgent[Any] = FrameworkAgent(
        Client(), name="Analyst", tools=[tool(work.first, approval_mode="never_require")]
    )
    return lambda plan_id, b: run_agent(plan_id, agent, "?", broadcaster=b)


def workflow(work: Work) -> Run:
    class First(Executor):
        @handler
        async def run(self, _: str, context: WorkflowContext[str]) -> None:
            await context.send_message(await work.first())

    class Second(Executor):
        @handler
        async def run(self, _: str, context: WorkflowContext[str, str]) -> None:
            await context.yield_output(work.second())

    first = First(id="first")
    built = WorkflowBuilder(start_executor=first).add_edge(first, Second(id="second")).build()
    return lambda plan_id, b: run_workflow(plan_id, built, "?", broadcaster=b)


@pytest.mark.parametrize("framework", [langgraph, pydantic_ai, openai_agents, agent_framework, workflow])
async def test_while_paused_nothing_more_is_begun(
    framework: Callable[[Work], Run], broadcaster: Broadcaster, person: Person
) -> None:
    work = Work()
    running = asyncio.create_task(framework(work)(person.plan_id, broadcaster))
    async with asyncio.timeout(30):
        await work.begun.wait()
    await person.requests("pause")
    await person.until(lambda plan: plan.status == "waiting" and plan.content == "Paused by maria")
    work.go_on.set()
    done, _ = await asyncio.wait([running], timeout=0.3)
    assert not done
    assert work.happened == ["first"]
    work.happened.append("resumed")
    await person.requests("resume")
    await running
    assert work.happened == ["first", "resumed", "second"]
    assert (await person.sees()).status == "completed"
