"""Which model speaks: the real loading code, without a word sent anywhere."""

from __future__ import annotations

import pytest
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.function import FunctionModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel

from plan_engine.errors import StepFailed
from plan_engine.models import ModelMisconfigured, check_model, model_for, model_name, pace


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PLANCAST_MODEL", "PLANCAST_PACE", "OPENAI_API_KEY", "ANTHROPIC_API_KEY"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("said", [None, "", "  ", "offline"])
def test_without_a_name_the_offline_model_speaks(said: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    if said is not None:
        monkeypatch.setenv("PLANCAST_MODEL", said)
    model = model_for(lambda _: "Hello")
    assert isinstance(model, FunctionModel)
    assert model.model_name == model_name() == check_model() == "offline"


def test_a_name_is_what_pydantic_ai_makes_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "not-a-key")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "not-a-key")
    monkeypatch.setenv("PLANCAST_MODEL", "openai:gpt-5")
    model = model_for(lambda _: "Hello")
    assert isinstance(model, OpenAIChatModel | OpenAIResponsesModel)
    assert model.model_name == "gpt-5"
    monkeypatch.setenv("PLANCAST_MODEL", "anthropic:claude-sonnet-4-5")
    assert isinstance(model_for(lambda _: "Hello"), AnthropicModel)
    assert check_model() == "anthropic:claude-sonnet-4-5"


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("nonsense", "Unknown model: nonsense."),
        ("no_such_company:gpt-5", "Unknown model"),
        ("openai:gpt-5", "Set the `OPENAI_API_KEY` environment variable"),
    ],
)
def test_a_model_that_cannot_be_used_is_said_to_be_so(name: str, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLANCAST_MODEL", name)
    with pytest.raises(ModelMisconfigured) as caught:
        check_model()
    assert why in str(caught.value)
    assert f"PLANCAST_MODEL is {name!r}" in str(caught.value)
    assert caught.value.retry is False  # trying again would not help


def test_the_pace_is_human_unless_it_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    assert pace() == 1
    monkeypatch.setenv("PLANCAST_PACE", "0")
    assert pace() == 0
    monkeypatch.setenv("PLANCAST_PACE", "0.5")
    assert pace() == 0.5


@pytest.mark.parametrize("said", ["fast", "-1", "nan", "inf"])
def test_a_pace_that_is_none_is_refused(said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLANCAST_PACE", said)
    with pytest.raises(StepFailed, match="PLANCAST_PACE is a number"):
        pace()
