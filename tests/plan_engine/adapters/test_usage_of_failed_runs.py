"""What a model was paid for is reported once, also when a later request fails or the run is cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from agent_framework import Agent as FrameworkAgent
from agent_framework import (
    BaseChatClient,
    ChatResponse,
    ChatResponseUpdate,
    Content,
    FunctionInvocationLayer,
    Message,
    ResponseStream,
    UsageDetails,
    WorkflowBuilder,
    tool,
)
from agents import Agent as OpenAIAgent
from agents import OpenAIResponsesModel, RunHooks, function_tool
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessageChunk
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from openai import AsyncOpenAI, DefaultAsyncHttpxClient
from pydantic_ai import Agent as PydanticAgent
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

from broadcasters import Broadcaster, PlanCancelled
from broadcasters.events import EVENTS, build
from broadcasters.fold import fold
from broadcasters.snapshot import Snapshot, empty
from plan_engine import Context
from plan_engine.adapters.agent_framework import run_agent, run_workflow
from plan_engine.adapters.langgraph import run_langgraph
from plan_engine.adapters.openai_agents import run_openai_agent
from plan_engine.adapters.pydantic_ai import run_pydantic_ai
from tests.plan_engine.adapters.graphs import Shop, chain
from tests.plan_engine.adapters.person import Person
from tests.plan_engine.adapters.test_openai_agents import SILENT
from tests.plan_engine.event_rules import Event
from tests.plan_engine.harness import EngineHarness
from tests.plan_engine.test_engine import only, run
from tests.servers.model import Cut, Fault, ModelServer, Refusal
from tests.servers.model_apis import Call, ChatRequest, Reply

REFUSED = Refusal(400)
LATER = Refusal(429, retry_after=60)
"""The client waits for a minute before it sends the request again."""
Where = dict[str, Any]
Framework = Callable[[str | Context, AsyncOpenAI, Where], Awaitable[Any]]


def reply(request: ChatRequest) -> Reply:
    """A tool is called first, if there is one."""
    return (
        Call("orders", {"month": "May"}) if request.tools and request.messages[-1]["role"] != "tool" else "Ten percent."
    )


def orders(month: str) -> str:
    """How many orders there were."""
    return f"12 in {month}"


@pytest.fixture
async def server() -> AsyncGenerator[ModelServer]:
    async with ModelServer(reply) as server:
        yield server


@pytest.fixture
async def client(server: ModelServer) -> AsyncGenerator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=server.url, api_key="any", max_retries=1) as client:
        yield client


async def chunks(client: Any, messages: Any, **more: Any) -> AsyncIterator[Any]:
    """A streamed answer, as clients for frameworks without one of their own get it."""
    stream = await client.chat.completions.create(
        model="counter", messages=messages, stream=True, stream_options={"include_usage": True}, **more
    )
    async for chunk in stream:
        yield chunk


# ---- the frameworks


async def pydantic_ai(plan: str | Context, client: AsyncOpenAI, where: Where) -> Any:
    model = OpenAIChatModel("counter", provider=OpenAIProvider(openai_client=client))
    return await run_pydantic_ai(plan, PydanticAgent(model, name="Analyst", tools=[orders]), "How is May?", **where)


async def openai_agents(plan: str | Context, client: AsyncOpenAI, where: Where) -> Any:
    model = OpenAIResponsesModel("counter", client)
    agent: OpenAIAgent[Any] = OpenAIAgent(name="Analyst", tools=[function_tool(orders)], model=model)
    return await run_openai_agent(plan, agent, "How is May?", run_config=SILENT, **where)


class GraphModel(BaseChatModel):
    """Speaks chat completions."""

    client: Any

    @property
    def _llm_type(self) -> str:
        return "counter"

    def _generate(self, *_: Any, **__: Any) -> ChatResult:
        raise AssertionError("it streams")

    async def _astream(self, messages: Any, *_: Any, **__: Any) -> AsyncIterator[ChatGenerationChunk]:
        async for chunk in chunks(self.client, [{"role": "user", "content": messages[0].content}]):
            part = AIMessageChunk(content="".join(choice.delta.content or "" for choice in chunk.choices))
            if chunk.usage:
                asked, answered = chunk.usage.prompt_tokens, chunk.usage.completion_tokens
                part.usage_metadata = UsageMetadata(
                    input_tokens=asked, output_tokens=answered, total_tokens=asked + answered
                )
                part.response_metadata = {"model_name": chunk.model}
            yield ChatGenerationChunk(message=part)


async def langgraph(plan: str | Context, client: AsyncOpenAI, where: Where) -> Any:
    model = GraphModel(client=client)

    async def advise(_: Shop) -> Shop:
        return {"messages": [await model.ainvoke("How is May?"), await model.ainvoke("And June?")]}

    return await run_langgraph(plan, chain({"advise": advise}), {}, **where)


class FrameworkClient(FunctionInvocationLayer[Any], BaseChatClient[Any]):
    """Speaks chat completions."""

    def __init__(self, client: AsyncOpenAI) -> None:
        super().__init__()
        self._client = client

    def _inner_get_response(self, *, messages: Any, **_: Any) -> Any:
        return ResponseStream(self._updates(messages), finalizer=ChatResponse.from_updates)

    async def _updates(self, messages: list[Message]) -> AsyncIterator[ChatResponseUpdate]:
        answered = any(part.type == "function_result" for message in messages for part in message.contents)
        sent = [{"role": "user", "content": "How is May?"}]
        if answered:
            sent.append({"role": "tool", "tool_call_id": "call_orders", "content": "12 in May"})
        offered: list[Any] = [{"type": "function", "function": {"name": "orders", "parameters": {}}}]
        async for chunk in chunks(self._client, sent, tools=offered):
            contents: list[Content] = []
            for delta in [choice.delta for choice in chunk.choices]:
                contents += [Content.from_text(delta.content)] if delta.content else []
                contents += [
                    Content.from_function_call(
                        call.id or "", call.function.name or "", arguments=call.function.arguments
                    )
                    for call in delta.tool_calls or ()
                ]
            if chunk.usage:
                used = UsageDetails(
                    input_token_count=chunk.usage.prompt_tokens, output_token_count=chunk.usage.completion_tokens
                )
                contents.append(Content.from_usage(used))
            yield ChatResponseUpdate(role="assistant", contents=contents, message_id=f"m{answered}")


def framework_agent(client: AsyncOpenAI) -> FrameworkAgent[Any]:
    tools = [tool(orders, approval_mode="never_require")]
    return FrameworkAgent(FrameworkClient(client), name="Analyst", tools=tools)


async def agent_framework(plan: str | Context, client: AsyncOpenAI, where: Where) -> Any:
    return await run_agent(plan, framework_agent(client), "How is May?", **where)


async def workflow(plan: str | Context, client: AsyncOpenAI, where: Where) -> Any:
    return await run_workflow(
        plan, WorkflowBuilder(start_executor=framework_agent(client)).build(), "How is May?", **where
    )


EVERY = pytest.mark.parametrize("framework", [pydantic_ai, openai_agents, langgraph, agent_framework, workflow])


# ---- what they report


def counts(plan: Snapshot) -> tuple[int, int]:
    assert plan.usage is not None, "no usage was reported"
    by_agent = plan.usage_by_agent or ()
    assert sum(one.output_tokens or 0 for one in by_agent) == plan.usage.output_tokens
    return plan.usage.input_tokens or 0, plan.usage.output_tokens or 0


def paid(server: ModelServer, requests: int) -> tuple[int, int]:
    """The tokens of the first requests, as the server counts them."""
    each = [request.usage(reply(request)) for request in server.requests[:requests]]
    return sum(asked for asked, _ in each), sum(answered for _, answered in each)


@EVERY
@pytest.mark.parametrize("fault", [REFUSED, pytest.param(Cut(after=1), marks=pytest.mark.slow)], ids=["refused", "cut"])
async def test_the_second_request_fails(
    framework: Framework,
    fault: Fault,
    server: ModelServer,
    client: AsyncOpenAI,
    broadcaster: Broadcaster,
    person: Person,
) -> None:
    server.next(None, fault, fault)
    with pytest.raises(Exception, match=r"400|[Cc]onnection|chunked"):
        await framework(person.plan_id, client, {"broadcaster": broadcaster})
    plan = await person.sees()
    assert plan.status == "error"
    assert counts(plan) == paid(server, 1)


@pytest.mark.slow
@EVERY
async def test_a_run_that_succeeds_counts_once(
    framework: Framework, server: ModelServer, client: AsyncOpenAI, broadcaster: Broadcaster, person: Person
) -> None:
    await framework(person.plan_id, client, {"broadcaster": broadcaster})
    plan = await person.sees()
    assert (plan.status, len(server.requests)) == ("completed", 2)
    assert counts(plan) == paid(server, 2)


@EVERY
@pytest.mark.parametrize(
    "by_a_person", [True, pytest.param(False, marks=pytest.mark.slow)], ids=["by a person", "by its task"]
)
async def test_a_run_that_is_cancelled(
    framework: Framework,
    by_a_person: bool,
    server: ModelServer,
    client: AsyncOpenAI,
    broadcaster: Broadcaster,
    person: Person,
) -> None:
    server.next(None, LATER)
    running = asyncio.ensure_future(framework(person.plan_id, client, {"broadcaster": broadcaster}))
    await person.until(lambda plan: plan.usage or any(call.phase == "completed" for call in plan.tool_calls))
    await until_asked_twice(server)
    if by_a_person:
        await person.requests("cancel")
    else:
        running.cancel()
    with pytest.raises((PlanCancelled, asyncio.CancelledError)):
        await running
    plan = await person.sees()
    assert plan.status == "cancelled"
    assert counts(plan) == paid(server, 1)


async def until_asked_twice(server: ModelServer) -> None:
    async with asyncio.timeout(60):
        while len(server.requests) < 2:
            await asyncio.sleep(0.01)


class Held:
    """Holds a client's first request until the plan is paused."""

    def __init__(self, server: ModelServer) -> None:
        self._sending, self._released = asyncio.Event(), asyncio.Event()
        http = DefaultAsyncHttpxClient(event_hooks={"request": [self._hold]})
        self.client = AsyncOpenAI(base_url=server.url, api_key="any", http_client=http)

    async def _hold(self, _: object) -> None:
        self._sending.set()
        await self._released.wait()

    @asynccontextmanager
    async def cancelling(self, person: Person, run: Awaitable[Any]) -> AsyncGenerator[None]:
        """The run is cancelled at the end of the block, in which it is paused and its first request has been sent."""
        running = asyncio.ensure_future(run)
        async with self.client:
            await self._sending.wait()
            await person.requests("pause")
            await person.until(lambda plan: plan.status == "waiting")
            self._released.set()
            async with asyncio.timeout(60):
                yield
            await person.requests("cancel")
            with pytest.raises(PlanCancelled):
                await running


async def test_langgraph_has_gone_on_while_the_plan_was_paused(
    server: ModelServer, broadcaster: Broadcaster, person: Person
) -> None:
    held = Held(server)
    server.next(None, LATER)
    async with held.cancelling(person, langgraph(person.plan_id, held.client, {"broadcaster": broadcaster})):
        await until_asked_twice(server)
    assert counts(await person.sees()) == paid(server, 1)


async def test_the_openai_sdk_has_gone_on_while_the_plan_was_paused(
    server: ModelServer, broadcaster: Broadcaster, person: Person
) -> None:
    held, answered = Held(server), asyncio.Event()

    class Hooks(RunHooks[Any]):
        async def on_llm_end(self, *_: Any, **__: Any) -> None:
            answered.set()

    agent: OpenAIAgent[Any] = OpenAIAgent(name="Analyst", model=OpenAIResponsesModel("counter", held.client))
    options: Where = {"hooks": Hooks(), "run_config": SILENT, "broadcaster": broadcaster}
    async with held.cancelling(person, run_openai_agent(person.plan_id, agent, "How is May?", **options)):
        await answered.wait()
    assert counts(await person.sees()) == paid(server, 1)


# ---- in a step of the engine


def snapshot_of(events: Sequence[Event]) -> Snapshot:
    return fold(empty("p"), 1, [build(EVENTS[event.type], event.data) for event in events])


@pytest.mark.parametrize(
    "framework",
    [pydantic_ai, *(pytest.param(one, marks=pytest.mark.slow) for one in (openai_agents, langgraph, workflow))],
)
async def test_the_second_request_of_a_step_fails(
    framework: Framework, server: ModelServer, client: AsyncOpenAI, harness: EngineHarness
) -> None:
    server.next(None, REFUSED)

    async def works(ctx: Context) -> None:
        await framework(ctx, client, {})

    outcome, events = await run(harness, works, retries=0)
    assert outcome.status == "error"
    assert counts(snapshot_of(events)) == paid(server, 1)


async def test_a_step_whose_plan_is_cancelled(server: ModelServer, client: AsyncOpenAI, harness: EngineHarness) -> None:
    server.next(None, LATER)

    async def works(ctx: Context) -> None:
        await agent_framework(ctx, client, {})

    async with harness.engine(only(works)) as engine:
        await engine.start("only", {}, "p")
        await until_asked_twice(server)
        await engine.signal("p", "cancel", "maria")
        assert (await harness.outcome(engine, "p")).status == "cancelled"
    plan = snapshot_of(await harness.events("p"))
    assert [step.status for step in plan.steps] == ["cancelled"]
    assert counts(plan) == paid(server, 1)
