"""Usage that the frameworks report: every adapter passes it on, once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

from agent_framework import Agent as FrameworkAgent
from agent_framework import Content, UsageDetails, tool
from agents import Agent as OpenAIAgent
from agents import Usage as OpenAIUsage
from agents.testing import ScriptedModel, assistant_message, function_call
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGenerationChunk
from langgraph.checkpoint.memory import InMemorySaver
from pydantic_ai import Agent as PydanticAgent
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.usage import RequestUsage

from broadcasters import Broadcaster
from broadcasters.snapshot import Snapshot, UsageSum
from plan_engine import Context
from plan_engine.adapters.agent_framework import run_agent
from plan_engine.adapters.langgraph import run_langgraph
from plan_engine.adapters.openai_agents import run_openai_agent
from plan_engine.adapters.pydantic_ai import run_pydantic_ai
from plan_engine.models.model_usage import usages_in
from tests.plan_engine.adapters.graphs import chain
from tests.plan_engine.adapters.person import Person, words_of
from tests.plan_engine.adapters.test_agent_framework import ADVISES, LOOKS, Scripted, orders
from tests.plan_engine.adapters.test_openai_agents import SILENT, orders_tool
from tests.plan_engine.harness import EngineHarness
from tests.plan_engine.test_engine import run


async def counted(messages: list[ModelMessage], _: AgentInfo) -> AsyncIterator[str]:
    yield "Ten percent."


class Counted(FunctionModel):
    """A model that reports what its provider would."""

    def __init__(self) -> None:
        super().__init__(stream_function=counted, model_name="counter")


def sums_by_agent(plan: Snapshot) -> Sequence[tuple[str | None, str | None, int | None, int | None]]:
    return [(one.agent_name, one.model, one.input_tokens, one.output_tokens) for one in plan.usage_by_agent or ()]


async def test_pydantic_ai(broadcaster: Broadcaster, person: Person) -> None:
    agent = PydanticAgent(Counted(), name="Analyst")
    result = await run_pydantic_ai(person.plan_id, agent, "How is May?", broadcaster=broadcaster)
    plan = await person.sees()
    assert plan.usage is not None
    used = result.usage
    assert sums_by_agent(plan) == [("Analyst", "counter", used.input_tokens, used.output_tokens)]
    assert plan.usage.requests == 1
    assert plan.usage.costs is None, "no provider has a price for this model"
    [message] = plan.messages
    assert (message.content, message.usage) == ("Ten percent.", plan.usage)


def test_only_the_providers_own_address_has_its_prices() -> None:
    def response(url: str, **more: Any) -> ModelResponse:
        usage = RequestUsage(input_tokens=1_000, output_tokens=200, **more)
        return ModelResponse(
            [TextPart("x")], usage=usage, model_name="gpt-4o", provider_name="openai", provider_url=url
        )

    [priced] = usages_in([response("https://api.openai.com/v1/")])
    [own] = usages_in([response("http://127.0.0.1:9/v1")])
    assert priced.cost is not None
    assert priced.cost > 0
    assert own.cost is None
    assert (own.model, own.input_tokens, own.output_tokens, own.requests) == ("gpt-4o", 1_000, 200, 1)
    assert [*usages_in([ModelResponse([TextPart("x")])])] == []


async def test_the_openai_agents_sdk(broadcaster: Broadcaster, person: Person) -> None:
    used = OpenAIUsage(requests=1, input_tokens=100, output_tokens=20, total_tokens=120)
    turns = [[function_call("orders", {"month": "May"}, call_id="call-1")], [assistant_message("Ten percent.")]]
    model = ScriptedModel(turns, default_usage=used)
    agent = OpenAIAgent(name="Analyst", tools=[orders_tool(needs_approval=False)], model=model)
    result = await run_openai_agent(person.plan_id, agent, "How is May?", broadcaster=broadcaster, run_config=SILENT)
    plan = await person.sees()
    assert plan.usage is not None
    total = result.context_wrapper.usage
    assert (plan.usage.input_tokens, plan.usage.output_tokens, plan.usage.requests) == (200, 40, 2)
    assert (total.input_tokens, total.output_tokens, total.requests) == (200, 40, 2)
    [message] = plan.messages
    assert (message.content, message.usage) == ("Ten percent.", plan.usage)


async def test_langgraph(broadcaster: Broadcaster, person: Person) -> None:
    class Chunked(GenericFakeChatModel):
        """Sends its usage with the last chunk."""

        def _stream(self, *_: Any, **__: Any) -> Iterator[ChatGenerationChunk]:
            yield ChatGenerationChunk(message=AIMessageChunk(content="Ten ", id="m"))
            used = UsageMetadata(
                input_tokens=30, output_tokens=4, total_tokens=34, input_token_details={"cache_read": 8}
            )
            about = {"model_name": "fake-1"}
            last = AIMessageChunk(content="percent.", id="m", usage_metadata=used, response_metadata=about)
            yield ChatGenerationChunk(message=last)

    model = Chunked(messages=iter([AIMessage("unused")]))

    def advise(_: Any) -> dict[str, Any]:
        return {"messages": [model.invoke("May?")]}

    graph = chain({"advise": advise}, InMemorySaver())
    await run_langgraph(person.plan_id, graph, {"messages": []}, broadcaster=broadcaster)
    plan = await person.sees()
    expected = UsageSum(model="fake-1", input_tokens=30, output_tokens=4, cached_tokens=8)
    assert words_of(plan) == [("Advise", "result", "Ten percent.")]
    assert plan.usage == plan.steps[0].usage == plan.messages[0].usage == expected
    assert sums_by_agent(plan) == [("Advise", "fake-1", 30, 4)]


async def test_the_agent_framework(broadcaster: Broadcaster, person: Person) -> None:
    def used() -> Content:
        return Content.from_usage(
            UsageDetails(input_token_count=10, output_token_count=2, reasoning_output_token_count=1)
        )

    turns = [[*turn, [used()]] for turn in (LOOKS, ADVISES)]
    agent = FrameworkAgent(Scripted(*turns), name="Analyst", tools=[tool(orders, approval_mode="never_require")])
    await run_agent(person.plan_id, agent, "How is May?", broadcaster=broadcaster)
    plan = await person.sees()
    assert plan.usage == UsageSum(input_tokens=20, output_tokens=4, reasoning_tokens=2)
    assert sums_by_agent(plan) == [("Analyst", None, 20, 4)]
    assert [text for *_, text in words_of(plan)] == ["Sales, then.", "Let me look.", "Ten percent."]


async def test_in_a_step_of_the_engine(harness: EngineHarness) -> None:
    async def advises(ctx: Context) -> str:
        return (await run_pydantic_ai(ctx, PydanticAgent(Counted(), name="Analyst"), "How is May?")).output

    outcome, events = await run(harness, advises)
    assert outcome.status == "completed"
    [used] = [event for event in events if "usage" in event.data]
    assert (used.type, used.data["agent_name"], used.data["usage"]["model"]) == ("step_update", "Analyst", "counter")
