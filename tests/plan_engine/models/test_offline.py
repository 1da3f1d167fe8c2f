"""The offline model under Pydantic AI: streamed text, typed outputs, tools, and rejected answers."""

from __future__ import annotations

import pytest
from pydantic import BaseModel
from pydantic_ai import Agent, ModelRetry
from pydantic_ai.models import Model

from plan_engine.models import Reply, Script, ScriptInput, Use, offline_model


class Weather(BaseModel):
    place: str
    degrees: int


class Unknown(BaseModel):
    why: str


def at_once(script: Script) -> Model:
    return offline_model(script, pace=0)


@pytest.mark.parametrize("text", ["Sunny.", "Sunny, and\n\n- warm \n- still ", "  “Ünïcode”  …"])
async def test_text_is_streamed_word_by_word(text: str) -> None:
    async with Agent(at_once(lambda _: text)).run_stream("How is it?") as answer:
        pieces = [piece async for piece in answer.stream_text(delta=True, debounce_by=None)]
    assert "".join(pieces) == text
    assert len(pieces) >= len(text.split())


async def test_the_same_question_has_the_same_answer() -> None:
    agent = Agent(at_once(lambda asked: f"{asked.prompt} Yes."))
    assert (await agent.run("Warm?")).output == (await agent.run("Warm?")).output == "Warm? Yes."


async def test_a_typed_output_is_of_its_type() -> None:
    script: list[Reply] = [Weather(place="Lisbon", degrees=24)]
    assert (await Agent(at_once(lambda _: script[0]), output_type=Weather).run("?")).output.degrees == 24


async def test_one_of_several_output_types() -> None:
    agent = Agent(at_once(lambda _: Unknown(why="no such place")), output_type=[Weather, Unknown])
    output: object = (await agent.run("?")).output
    assert output == Unknown(why="no such place")


async def test_a_tool_is_used_and_its_result_given_to_the_script() -> None:
    def script(asked: ScriptInput) -> Reply:
        return f"{asked.returned['degrees'][0]} °C" if asked.returned else Use("degrees", {"place": asked.prompt})

    agent = Agent(at_once(script))

    @agent.tool_plain
    def degrees(place: str) -> int:
        return {"Lisbon": 24}[place]

    assert (await agent.run("Lisbon")).output == "24 °C"


async def test_rejected_answers_are_counted() -> None:
    agent = Agent(at_once(lambda asked: f"answer {asked.refused}"), retries=2)

    @agent.output_validator
    def third(answer: str) -> str:
        if answer != "answer 2":
            raise ModelRetry("again")
        return answer

    assert (await agent.run("?")).output == "answer 2"


async def test_a_script_must_return_one_of_the_output_types() -> None:
    agent = Agent(at_once(lambda _: Unknown(why="?")), output_type=[Weather, int])
    with pytest.raises(TypeError, match="Unknown"):
        await agent.run("?")
