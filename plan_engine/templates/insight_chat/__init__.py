"""Template `insight_chat`: synchronous code in a thread, which reports through a progress callback."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from plan_engine.model.plan import Plan, Step
from plan_engine.model.template import template
from plan_engine.models import Reply, Role, ScriptInput, introduce
from plan_engine.run.blocking import BlockingContext
from plan_engine.templates.insight_chat.agent import CLIMATE, MONTHS, SEASONS, ClimateIntent, InsightAgent
from plan_engine.templates.place_names import place_names

__all__ = ["ChatRequest", "answer", "insight_chat", "parse_intent"]

REPORT_S: Final = 0.6
_PERCENT: Final = {"intent_parsed": 30.0, "generating_insight": 50.0, "insight_generated": 80.0, "data_summary": 95.0}


class ChatRequest(BaseModel):
    """What the user says."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"message": "How warm is Lisbon in May?"}]})

    message: Annotated[str, Field(min_length=1, max_length=8192, pattern=r"\S")]


@template(
    "insight_chat",
    title="Insight chat",
    about="Ask how warm or how wet a place is; the answer shows the data it is based on.",
    input=ChatRequest,
)
def insight_chat(given: ChatRequest) -> Plan:
    """One step, which runs an existing synchronous agent."""
    words = given.message.strip() or "A question"
    title = words if len(words) <= 80 else f"{words[:79]}…"
    return Plan(title, [Step("insight", "Find the answer", answer, agent_name="Insight Agent")], ["insight"])


def answer(ctx: BlockingContext) -> dict[str, Any]:
    """The agent of the step. It runs in a thread of its own, and so does the callback."""
    ctx.wait_for(introduce(ctx.awaiting))

    def progress_callback(kind: str, data: dict[str, Any]) -> None:
        ctx.say(data["text"], data={"type": kind, "payload": data})
        ctx.progress(_PERCENT.get(kind, 0.0), data["text"])
        ctx.sleep(REPORT_S * ctx.model.pace)

    agent = InsightAgent(lambda message: ctx.wait_for(parser.answer(ctx.awaiting, message)))
    return agent.process_query(ctx.input["message"], progress_callback)


# ---- the role that parses questions


def parse_intent(message: str) -> ClimateIntent:
    """The offline model's parse of a question."""
    text = message.lower()
    cities = sorted((city for city in CLIMATE if city.lower() in text), key=lambda city: text.index(city.lower()))
    months = [*_months(text)]
    wet = re.search(r"\b(?:rain|rainy|wet|wettest|dry|driest|umbrella)", text) is not None
    warm = re.search(r"\b(?:warm|warmest|hot|hottest|cold|coldest|cool|temperature|weather|degrees|climate)", text)
    unknown = [place for place in place_names(message) if not any(city.lower() in place.lower() for city in CLIMATE)]
    if not cities and not wet and warm is None and not (unknown and months):
        return ClimateIntent(intent_type="UNKNOWN")
    kind = "PARTICULAR" if cities or unknown else "GENERAL"
    measure: Literal["rain", "temperature"] = "rain" if wet else "temperature"
    return ClimateIntent(intent_type=kind, cities=cities, unknown=unknown, months=months, measure=measure)


def _months(text: str) -> Iterator[str]:
    named = {at for at, month in enumerate(MONTHS) if re.search(rf"\b{month.lower()}\b", text)}
    for season, months in SEASONS.items():
        if re.search(rf"\b{season}\b", text):
            yield from (MONTHS[month] for month in months)
            return
    yield from (MONTHS[at] for at in sorted(named))


def _script(asked: ScriptInput) -> Reply:
    return parse_intent(asked.prompt)


parser: Final = Role(
    "Intent Parser",
    f"You find out what a question about the climate is about. The cities are {', '.join(CLIMATE)}; the months have their "
    "English names. PARTICULAR names places, GENERAL compares all cities, anything else is UNKNOWN. A place that is none of "
    "the cities goes into `unknown`, never into `cities`.",
    output=ClimateIntent,
    script=_script,
)
