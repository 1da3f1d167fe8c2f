"""Template `trip`: planning a trip by chat. Each message changes places, requirements and a plan by days.

The state of the trip comes with the message, and is returned changed, or unchanged if the message had no wish. Offline,
plain rules and a small gazetteer do it; a real model understands more, and finds places in the same gazetteer.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from pydantic import BaseModel
from pydantic_ai import RunContext

from plan_engine.errors import StepFailed
from plan_engine.model.plan import Plan, Step
from plan_engine.model.template import template
from plan_engine.models import Reply, Role, ScriptInput, Use, introduce
from plan_engine.run.context import Context
from plan_engine.templates.trip.gazetteer import Poi, cities_in, find, gazetteer
from plan_engine.templates.trip.itinerary import TripOptions, lay_out, problems_with
from plan_engine.templates.trip.wishes import (
    TripIntent,
    TripIntents,
    TripRequest,
    avoided,
    changed_pois,
    changed_requirements,
    days_of,
    parse_wishes,
    searches,
)

__all__ = ["MAX_ATTEMPTS", "FoundPlaces", "TripRequest", "find_places", "trip"]

MAX_ATTEMPTS: Final = 2
LOOK_S: Final = 0.35
ALL: Final = 1000
STATE: Final = "\nThe state of the trip, as JSON: "


def _prompt(text: str, **state: Any) -> str:
    return f"{text}{STATE}{json.dumps(state, ensure_ascii=False)}"


def _state_in(prompt: str) -> dict[str, Any]:
    return cast("dict[str, Any]", json.loads(prompt.rpartition(STATE)[2]))


class FoundPlaces(BaseModel):
    """The ids of the places that the scout proposes."""

    ids: list[str]


# ---- the concierge


def _concierge_script(asked: ScriptInput) -> Reply:
    state = _state_in(asked.prompt)
    return parse_wishes(state["message"], state)


concierge: Final = Role(
    "Concierge",
    "You find out what a traveller wants. List every wish as an intent: a `poi` to add, remove or replace (`old -> new`), "
    "a `requirement` such as `3 days` or `no museums`, and last a `plan` to create or update. If there is no wish in it, "
    "the only intent is `other`, and its action `none`.",
    output=TripIntents,
    script=_concierge_script,
)


async def _listen(ctx: Context) -> list[dict[str, Any]]:
    """The traveller's wishes."""
    await introduce(ctx)
    await ctx.think(f"What do they want? {ctx.input['message'][:400]}")
    said = await concierge.answer(ctx, _prompt("The traveller says something.", **ctx.input))
    wishes = [intent.model_dump() for intent in said.intents]
    await ctx.say(_in_words(said.intents), data={"intents": wishes})
    return wishes


def _in_words(intents: Sequence[TripIntent]) -> str:
    wanted = [f"{one.action} {one.intent}: {one.value}" for one in intents if one.actionable]
    return "; ".join(wanted) or "Nothing to do; everything stays as it is"


# ---- the scout


async def find_places(run: RunContext[Context], query: str, most: int, avoid: list[str]) -> list[dict[str, Any]]:
    """Find places: a city, a kind of place in a city, or a place by its name. Finds nothing in a city it doesn't know."""
    ctx = run.deps
    async with ctx.tool("find_places", query=query, most=most, avoid=avoid) as use:
        found = find(query, most, avoid)
        use.result = [poi["name"] for poi in found]
    return found


def _scout_script(asked: ScriptInput) -> Reply:
    state = _state_in(asked.prompt)
    done = asked.returned.get("find_places", ())
    if len(done) < len(state["searches"]):
        return Use(
            "find_places", {"query": state["searches"][len(done)], "most": state["most"], "avoid": state["avoid"]}
        )
    return FoundPlaces(ids=[poi["id"] for found in done for poi in found])


scouts: Final = Role(
    "Scout",
    "You find places for a traveller. Use find_places once for each of the searches, then name the ids of all it found.",
    output=FoundPlaces,
    tools=[find_places],
    script=_scout_script,
)


async def _scout(ctx: Context) -> list[Poi]:
    """The places to see."""
    intents = _wishes(ctx.results["intents"])
    before: list[Poi] = ctx.input["pois"]
    queries = searches(intents)
    chosen: set[str] = set()
    if queries:
        requirements = changed_requirements(ctx.input["requirements"], intents)
        most = max(2, -(-4 * (days_of(requirements) or 2) // len(queries)))
        state = {"searches": queries, "most": min(most, 8), "avoid": avoided(requirements)}
        chosen = {*(await scouts.answer(ctx, _prompt("Find places for these searches.", **state))).ids}
    found = {query: [poi for poi in find(query, ALL) if poi["id"] in chosen] for query in queries}
    pois = changed_pois(before, intents, found)
    await _say_what_changed(ctx, before, pois)
    for query in (query for query in queries if not find(query, 1)):
        await ctx.say(_nothing_known(query), data={"unknown": query})
    return pois


async def _say_what_changed(ctx: Context, before: Sequence[Poi], pois: Sequence[Poi]) -> None:
    """Report each new place once, under its number in the trip, and the places that were removed."""
    if gone := [str(poi.get("name", "")) for poi in before if poi not in pois]:
        await ctx.say(f"No longer in the trip: {', '.join(gone)}.")
    for number, poi in enumerate(pois, 1):
        if poi not in before:
            await ctx.model.pause(LOOK_S)
            await ctx.say(f"{number}. {poi['name']}, {poi['city']}: {poi['description']}", data={"poi": poi})


def _nothing_known(query: str) -> str:
    if cities_in(query):
        return f"I know no {query}."
    return f"I don't know {query}. The cities I know are {', '.join(gazetteer())}."


# ---- requirements


async def _settle(ctx: Context) -> list[dict[str, Any]]:
    """The requirements."""
    return changed_requirements(ctx.input["requirements"], _wishes(ctx.results["intents"]))


# ---- the planner


def _planner_script(asked: ScriptInput) -> Reply:
    state = _state_in(asked.prompt)
    return lay_out(state["pois"], state["days"])


planner: Final = Role(
    "Planner",
    "You lay out a traveller's days: two options, each with every place once, in as many days as are given, from 09:30 on, "
    "and no day longer than to 23:00. Call the places by their names as they are given.",
    output=TripOptions,
    script=_planner_script,
)


async def _plan_days(ctx: Context) -> list[dict[str, Any]]:
    """The options, once they have no problems. The step fails after MAX_ATTEMPTS."""
    pois: list[Poi] = ctx.results["pois"]
    if not pois and any(intent.actionable for intent in _wishes(ctx.results["intents"])):
        await ctx.say("There is nothing to plan: the trip has no place that I know.")
    if not pois or not any(intent.actionable for intent in _wishes(ctx.results["intents"])):
        before: list[dict[str, Any]] = ctx.input["plan"]
        return before
    requirements = ctx.results["requirements"]
    state: dict[str, Any] = {"pois": pois, "requirements": requirements, "days": days_of(requirements), "wrong": []}
    for attempt in range(1, MAX_ATTEMPTS + 1):
        await ctx.progress(20 * attempt, f"Laying out the days (attempt {attempt} of {MAX_ATTEMPTS})")
        said = await planner.answer(ctx, _prompt("Lay out the days.", **state))
        state["wrong"] = [*problems_with(said.options, pois, state["days"])]
        if not state["wrong"]:
            await ctx.say("; or: ".join(f"{one.title}, {len(one.days)} days" for one in said.options))
            return [option.model_dump() for option in said.options]
        await ctx.think(f"That doesn't work: {state['wrong'][0]}.", data={"faults": state["wrong"][:8]})
    raise StepFailed(f"No plan that works after {MAX_ATTEMPTS} attempts: {state['wrong'][0]}", retry=False)


def _wishes(said: Sequence[Mapping[str, Any]]) -> list[TripIntent]:
    return [TripIntent.model_validate(one) for one in said]


@template(
    "trip",
    title="Plan a trip",
    about="Say where and for how long, add, remove or replace places, and get a plan for each day.",
    input=TripRequest,
)
def trip(given: TripRequest) -> Plan:
    """Four steps, one after the other; the chat shows the result of each."""
    steps = [
        Step("intents", "Understand what you want", _listen, agent_name="Concierge"),
        Step("pois", "Find places", _scout, ["intents"], weight=3, agent_name="Scout"),
        Step(
            "requirements",
            "Keep in mind what matters",
            _settle,
            ["intents", "pois"],
            weight=0.5,
            agent_name="Concierge",
        ),
        Step(
            "itinerary",
            "Lay out the days",
            _plan_days,
            ["intents", "pois", "requirements"],
            weight=3,
            agent_name="Planner",
        ),
    ]
    words = given.message.strip() or "A trip"
    return Plan(words if len(words) <= 80 else f"{words[:79]}…", steps, ["trip"], _new_state)


def _new_state(results: Mapping[str, Any]) -> dict[str, Any]:
    """The new state of the trip, under the names that a request uses."""
    return {"plan" if step_id == "itinerary" else step_id: result for step_id, result in results.items()}
