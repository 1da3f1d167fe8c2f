"""Template inputs, and which error each kind of fault raises."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, Field, SecretStr

from broadcasters.errors import InvalidPlanId
from plan_engine import BadPlan, Context, NotRunHere, Plan, Step, UnfitInput, UnknownTemplate, template
from plan_engine.run.run_events import about
from tests.plan_engine.harness import EngineHarness
from tests.plan_engine.test_engine import nothing


async def gives_back(ctx: Context) -> Any:
    return dict(ctx.input)


async def test_a_plan_that_cannot_be_started_is_refused(harness: EngineHarness) -> None:
    class Given(BaseModel):
        theme: str = Field(min_length=3)
        size: int = 5

    @template("typed", title="Typed", input=Given, about="")
    def typed(given: Given) -> Plan:
        """About it."""
        return Plan(given.theme, [Step("a", "A", nothing)])

    @template("picky", title="Picky")
    def picky(given: Any) -> Plan:
        if given["n"] > 3:
            raise ValueError("n is at most 3")
        return Plan("P", [Step("a", "A", nothing)])

    async with harness.engine(typed, picky) as engine:
        with pytest.raises(UnknownTemplate, match="picky, typed"):
            await engine.start("other", {}, "p")
        with pytest.raises(UnfitInput, match=r"^theme: "):
            await engine.start("typed", {}, "p")
        with pytest.raises(UnfitInput, match=r"^theme: "):
            await engine.start("typed", {"theme": "x"}, "p")
        with pytest.raises(UnfitInput, match="'n'"):
            await engine.start("picky", {}, "p")
        with pytest.raises(UnfitInput, match="n is at most 3"):
            await engine.start("picky", {"n": 4}, "p")
        with pytest.raises(InvalidPlanId):
            await engine.start("picky", {"n": 1}, "a plan")
        with pytest.raises(NotRunHere):
            await engine.outcome("p")
        infos = {info.name: info for info in engine.templates()}
        assert infos["typed"].about == "About it."
        assert infos["typed"].input_schema["properties"]["size"]["default"] == 5
        assert infos["picky"].input_schema == {"type": "object"}
    assert (await harness.log.head("p")).offset == 0


async def test_a_template_that_raises_on_its_input_is_named(harness: EngineHarness) -> None:
    @template("clumsy", title="Clumsy")
    def clumsy(given: Any) -> Plan:
        return Plan("P", [Step("a", "A", nothing)] * given["n"])

    async with harness.engine(clumsy) as engine:
        with pytest.raises(BadPlan, match=r"'clumsy'.*TypeError"):
            await engine.start("clumsy", {"n": "three"}, "p")
        with pytest.raises(BadPlan, match=r"'clumsy'.*10,000"):
            await engine.start("clumsy", {"n": 0}, "p")
    assert (await harness.log.head("p")).offset == 0


async def test_an_input_may_use_aliases(harness: EngineHarness) -> None:
    class Given(BaseModel):
        user_id: str = Field(alias="userId")

    @template("typed", title="Typed", input=Given)
    def typed(given: Given) -> Plan:
        return Plan(f"For {given.user_id}", [Step("a", "A", gives_back)])

    async with harness.engine(typed) as engine:
        await engine.start("typed", {"userId": "ada"}, "p")
        assert (await harness.outcome(engine, "p")).result == {"user_id": "ada"}
        with pytest.raises(UnfitInput, match=r"^userId: "):
            await engine.start("typed", {}, "q")


async def test_defaults_are_filled_in_for_the_agents(harness: EngineHarness) -> None:
    class Given(BaseModel):
        size: int = 5

    @template("typed", title="Typed", input=Given)
    def typed(given: Given) -> Plan:
        return Plan(f"Size {given.size}", [Step("a", "A", gives_back)])

    async with harness.engine(typed) as engine:
        await engine.start("typed", {}, "p")
        assert (await harness.outcome(engine, "p")).result == {"size": 5}
    assert (await harness.snapshot("p")).title == "Size 5"


class TestTheRequest:
    """H-PLN-8."""

    def test_it_is_the_text_that_a_person_wrote(self) -> None:
        class Free(BaseModel):
            text: str = ""
            size: int = 5

        class Required(BaseModel):
            text: str
            user_id: str = ""

        class Two(BaseModel):
            where: str
            when: str

        class Secret(BaseModel):
            token: SecretStr

        assert request_in(Free, {"text": "Rome", "size": 1}) == "Rome"
        assert request_in(Required, {"text": "Rome", "user_id": "ada"}) == "Rome"
        assert request_in(Two, {"where": "Rome", "when": "May"}) is None
        assert request_in(Secret, {"token": "x"}) is None
        assert request_in(None, {"text": "Rome"}) is None

    def test_the_template_may_record_another_or_none(self) -> None:
        assert about("t", Plan("T", [Step("a", "A", nothing)], request="Rome")) == {"template": "t", "request": "Rome"}
        assert about("t", Plan("T", [Step("a", "A", nothing)], request="")) == {"template": "t"}

    def test_it_is_cut_off_after_16_kib(self) -> None:
        request = about("t", Plan("T", [Step("a", "A", nothing)], request="é" * 9000))["request"]
        assert request == "é" * 8192 + "…"


class TestTheInput:
    """H-PLN-9."""

    def test_it_is_what_the_plan_was_started_with_as_its_schema_names_it(self) -> None:
        class Given(BaseModel):
            where: str = Field(alias="from")
            days: int = 3
            token: SecretStr
            pin: str = Field(json_schema_extra={"writeOnly": True})

        assert input_in(Given, {"from": "Rome", "token": "x", "pin": "1234"}) == {"from": "Rome", "days": 3}
        assert input_in(None, {"anything": [1]}) == {"anything": [1]}

    def test_the_template_may_show_another_or_none(self) -> None:
        step = Step("a", "A", nothing)
        assert about("t", Plan("T", [step], input={"city": "Rome"}))["input"] == {"city": "Rome"}
        assert "input" not in about("t", Plan("T", [step], input={}))

    def test_an_input_that_is_too_large_is_not_recorded(self) -> None:
        assert "input" in about("t", Plan("T", [Step("a", "A", nothing)], input={"text": "é" * 8000}))
        assert "input" not in about("t", Plan("T", [Step("a", "A", nothing)], input={"text": "é" * 8200}))


def input_in(model: type[BaseModel] | None, given: dict[str, Any]) -> Any:
    @template("typed", title="Typed", input=model)
    def typed(_: Any) -> Plan:
        return Plan("Typed", [Step("a", "A", nothing)])

    return about("typed", typed.plan(typed.fit(given)))["input"]


def request_in(model: type[BaseModel] | None, given: dict[str, Any]) -> str | None:
    @template("typed", title="Typed", input=model)
    def typed(_: Any) -> Plan:
        return Plan("Typed", [Step("a", "A", nothing)])

    return about("typed", typed.plan(typed.fit(given))).get("request")
