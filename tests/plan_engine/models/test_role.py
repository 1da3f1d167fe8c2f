"""Roles report through the engine, with the model that it was given."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from pydantic_ai import RunContext
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.function import FunctionModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel

from plan_engine import Context, Plan, Step, Template
from plan_engine.models import LanguageModel, ModelMisconfigured, Role, Use, check_model, introduce, model_for
from tests.plan_engine.harness import EngineHarness

AT_ONCE = LanguageModel(pace=0)


def _one_step(agent: Callable[[Context], Awaitable[Any]]) -> Template:
    return Template("one", "One step", "", lambda _: Plan("One step", [Step("a", "A", agent)]))


async def _ran(
    harness: EngineHarness, agent: Callable[[Context], Awaitable[Any]], model: LanguageModel = AT_ONCE
) -> Any:
    async with harness.engine(_one_step(agent), model=model) as engine:
        await engine.start("one", {}, "p")
        return await harness.outcome(engine, "p")


async def test_the_offline_model_introduces_itself(harness: EngineHarness) -> None:
    await _ran(harness, introduce)
    said = [event.data for event in await harness.events("p") if event.type == "agent_message"]
    assert "offline model" in said[0]["content"]
    assert said[0]["data"] == {"model": "offline"}


async def test_what_a_role_speaks_is_streamed_and_returned(harness: EngineHarness) -> None:
    poet = Role("Poet", "You rhyme.", output=str, script=lambda asked: f"{asked.prompt}, and dine.")

    async def agent(ctx: Context) -> str:
        return await poet.speak(ctx, "Wine is fine", "thinking")

    assert (await _ran(harness, agent)).result == "Wine is fine, and dine."
    said = [event.data for event in await harness.events("p") if event.type == "agent_message"]
    assert "".join(one["content"] for one in said) == "Wine is fine, and dine."
    assert {one["agent_name"] for one in said} == {"Poet"}
    assert {one["message_type"] for one in said} == {"thinking"}
    assert said[-1]["final"] is True


async def test_a_tool_that_fails_before_any_text_leaves_no_empty_message(harness: EngineHarness) -> None:
    async def lookup(run: RunContext[Context]) -> str:
        async with run.deps.tool("lookup"):
            raise ConnectionError("away")

    clerk = Role("Clerk", "You look up.", output=str, script=lambda _: Use("lookup"), tools=[lookup])

    async def agent(ctx: Context) -> str:
        return await clerk.speak(ctx, "?")

    assert (await _ran(harness, agent)).message == "“A” failed: Something it needs could not be reached"
    events = await harness.events("p")
    assert [event.type for event in events if event.type in ("agent_message", "tool_call")] == [
        "tool_call",
        "tool_call",
    ]


async def test_a_model_that_cannot_be_used_fails_the_step_with_a_message_for_people(harness: EngineHarness) -> None:
    poet = Role("Poet", "You rhyme.", output=str, script=lambda _: "never said")

    async def agent(ctx: Context) -> str:
        return await poet.answer(ctx, "?")

    outcome = await _ran(harness, agent, LanguageModel("nonsense"))
    assert outcome.status == "error"
    assert "'nonsense'" in str(outcome.message)


async def test_a_model_that_goes_round_in_circles_is_stopped(harness: EngineHarness) -> None:
    async def look() -> str:
        return "nothing"

    lost = Role("Lost", "You look.", output=str, script=lambda _: Use("look"), tools=[look])

    async def agent(ctx: Context) -> str:
        return await lost.answer(ctx, "?")

    assert (await _ran(harness, agent)).message == "“A” failed: The model's answer could not be used"


# ---- the model: the real loading code, without sending anything


@pytest.fixture
def _no_api_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY"):
        monkeypatch.delenv(name, raising=False)


def test_without_a_name_the_offline_model_speaks() -> None:
    model = model_for(LanguageModel(), lambda _: "Hello")
    assert isinstance(model, FunctionModel)
    assert model.model_name == "offline"
    check_model(LanguageModel())


def test_names_are_those_of_pydantic_ai(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "not-a-key")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "not-a-key")
    model = model_for(LanguageModel("openai:gpt-5"), lambda _: "Hello")
    assert isinstance(model, OpenAIChatModel | OpenAIResponsesModel)
    assert model.model_name == "gpt-5"
    claude = LanguageModel("anthropic:claude-sonnet-4-5")
    assert isinstance(model_for(claude, lambda _: "Hello"), AnthropicModel)
    check_model(claude)


@pytest.mark.usefixtures("_no_api_keys")
@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("nonsense", "nonsense"),
        ("no_such_company:gpt-5", "no_such_company"),
        ("openai:gpt-5", "OPENAI_API_KEY"),
    ],
)
def test_a_model_that_cannot_be_used_is_explained(name: str, why: str) -> None:
    with pytest.raises(ModelMisconfigured) as caught:
        check_model(LanguageModel(name))
    assert why in str(caught.value)
    assert repr(name) in str(caught.value)
    assert caught.value.retry is False  # a retry would not help
