"""Agents use the engine's language model: the one given to the engine, or the environment's."""

from __future__ import annotations

import pytest

from plan_engine import BlockingContext, Context, EngineMisconfigured, LanguageModel
from plan_engine.engine import Engine
from tests.plan_engine.harness import EngineHarness
from tests.plan_engine.test_engine import only


def test_the_environment_names_a_model_and_a_pace() -> None:
    assert LanguageModel.of({}) == LanguageModel("offline", 1.0)
    assert LanguageModel.of({"PLANCAST_MODEL": "  ", "PLANCAST_PACE": ""}) == LanguageModel()
    named = LanguageModel.of({"PLANCAST_MODEL": "openai:gpt-5", "PLANCAST_PACE": "0.5"})
    assert named == LanguageModel("openai:gpt-5", 0.5)
    assert (LanguageModel().offline, named.offline) == (True, False)


@pytest.mark.parametrize("said", ["fast", "-1", "nan", "inf"])
def test_an_invalid_pace_is_refused(said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLANCAST_PACE", said)
    with pytest.raises(EngineMisconfigured, match="PLANCAST_PACE"):
        Engine()


async def test_only_the_offline_model_pauses_and_at_its_pace() -> None:
    await LanguageModel(pace=0).pause(3600)
    await LanguageModel("openai:gpt-5").pause(3600)


async def test_agents_find_the_model_in_their_context(harness: EngineHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLANCAST_MODEL", "of the environment")

    async def one(ctx: Context) -> str:
        return ctx.model.name

    def another(ctx: BlockingContext) -> str:
        return ctx.model.name

    async with harness.engine(only(one)) as engine:
        await engine.start("only", {}, "p")
        assert (await harness.outcome(engine, "p")).result == "of the environment"
    async with harness.engine(only(another), model=LanguageModel("of the program")) as engine:
        await engine.start("only", {}, "q")
        assert (await harness.outcome(engine, "q")).result == "of the program"
