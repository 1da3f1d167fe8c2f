"""Which model speaks: the real loading code, without a word sent anywhere."""

from __future__ import annotations

import pytest
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.function import FunctionModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel

from plan_engine.models import LanguageModel, ModelMisconfigured, check_model, model_for


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY"):
        monkeypatch.delenv(name, raising=False)


def test_without_a_name_the_offline_model_speaks() -> None:
    model = model_for(LanguageModel(), lambda _: "Hello")
    assert isinstance(model, FunctionModel)
    assert model.model_name == "offline"
    check_model(LanguageModel())


def test_a_name_is_what_pydantic_ai_makes_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "not-a-key")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "not-a-key")
    model = model_for(LanguageModel("openai:gpt-5"), lambda _: "Hello")
    assert isinstance(model, OpenAIChatModel | OpenAIResponsesModel)
    assert model.model_name == "gpt-5"
    claude = LanguageModel("anthropic:claude-sonnet-4-5")
    assert isinstance(model_for(claude, lambda _: "Hello"), AnthropicModel)
    check_model(claude)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("nonsense", "nonsense"),
        ("no_such_company:gpt-5", "no_such_company"),
        ("openai:gpt-5", "OPENAI_API_KEY"),
    ],
)
def test_a_model_that_cannot_be_used_is_said_to_be_so(name: str, why: str) -> None:
    with pytest.raises(ModelMisconfigured) as caught:
        check_model(LanguageModel(name))
    assert why in str(caught.value)
    assert repr(name) in str(caught.value)
    assert caught.value.retry is False  # trying again would not help
