"""Who works on a trip: a concierge who listens, a scout who finds places, a planner who lays out the days."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from pydantic_ai import RunContext

from plan_engine.errors import StepFailed
from plan_engine.models import Asked, Reply, Role, Use, introduce
from plan_engine.run.context import Context
from plan_engine.templates.trip.changing import changed_pois, changed_requirements, searches
from plan_engine.templates.trip.days import faults, laid_out
from plan_engine.templates.trip.gazetteer import find, gazetteer
from plan_engine.templates.trip.listening import avoided, days_of, heard
from plan_engine.templates.trip.wishes import Finds, Intent, Intents, Options, Poi

__all__ = ["MAX_ATTEMPTS", "find_places", "listen", "plan_days", "scout", "settle"]

MAX_ATTEMPTS: Final = 2
LOOK_S: Final = 0.35
ALL: Final = 1000
STATE: Final = "\nHow things stand, as JSON: "


def _prompt(text: str, **state: Any) -> str:
    return f"{text}{STATE}{json.dumps(state, ensure_ascii=False)}"


def _state(prompt: str) -> dict[str, Any]:
    return cast("dict[str, Any]", json.loads(prompt.rpartition(STATE)[2]))


# -- the concierge


def _concierge_script(asked: Asked) -> Reply:
    state = _state(asked.prompt)
    return heard(state["message"], state)


concierge: Final = Role(
    "Concierge",
    "You find out what a traveller wants. List every wish as an intent: a `poi` to add, remove or replace (`old -> new`), "
    "a `requirement` such as `3 days` or `no museums`, and last a `plan` to create or update. If there is no wish in it, "
    "the only intent is `other`, and its action `none`.",
    output=Intents,
    script=_concierge_script,
)


async def listen(ctx: Context) -> list[dict[str, Any]]:
    """What is wanted."""
    await introduce(ctx)
    await ctx.think(f"What is wanted: {ctx.input['message'][:400]}")
    said = await concierge.answer(ctx, _prompt("The traveller says something.", **ctx.input))
    wishes = [intent.model_dump() for intent in said.intents]
    await ctx.say(_in_words(said.intents), data={"intents": wishes})
    return wishes


def _in_words(intents: Sequence[Intent]) -> str:
    wanted = [f"{one.action} {one.intent}: {one.value}" for one in intents if one.actionable]
    return "; ".join(wanted) or "Nothing to be done for this; everything stays as it is"


# -- the scout


async def find_places(run: RunContext[Context], query: str, most: int, avoid: list[str]) -> list[dict[str, Any]]:
    """Find places: a city, a kind of place in a city, or a place by its name. Each is shown as it is found."""
    ctx = run.deps
    async with ctx.tool("find_places", query=query, most=most, avoid=avoid) as use:
        found = find(query, most, avoid)
        for poi in found:
            await ctx.model.pause(LOOK_S)
            where = f"{poi['name']}, {poi['city']}"
            await ctx.say(f"{where}: {poi['description']}", agent="Scout", data={"poi": poi})
        use.result = [poi["name"] for poi in found]
    return found


def _scout_script(asked: Asked) -> Reply:
    state = _state(asked.prompt)
    done = asked.returned.get("find_places", ())
    if len(done) < len(state["searches"]):
        return Use(
            "find_places", {"query": state["searches"][len(done)], "most": state["most"], "avoid": state["avoid"]}
        )
    return Finds(ids=[poi["id"] for found in done for poi in found])


scouts: Final = Role(
    "Scout",
    "You find places for a traveller. Use find_places once for each of the searches, then name the ids of all it found.",
    output=Finds,
    tools=[find_places],
    script=_scout_script,
)


async def scout(ctx: Context) -> list[Poi]:
    """The places to see, after what was wanted."""
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
    for query in (query for query, pois in found.items() if not pois):
        await ctx.say(f"I know no such place: {query}. The cities I know are {', '.join(gazetteer())}.", agent="Scout")
    return changed_pois(before, intents, found)


# -- requirements


async def settle(ctx: Context) -> list[dict[str, Any]]:
    """What is to be kept in mind."""
    return changed_requirements(ctx.input["requirements"], _wishes(ctx.results["intents"]))


# -- the planner


def _planner_script(asked: Asked) -> Reply:
    state = _state(asked.prompt)
    return laid_out(state["pois"], state["days"])


planner: Final = Role(
    "Planner",
    "You lay out a traveller's days: two options, each with every place once, in as many days as are given, from 09:30 on, "
    "and no day longer than to 23:00. Call the places by their names as they are given.",
    output=Options,
    script=_planner_script,
)


async def plan_days(ctx: Context) -> list[dict[str, Any]]:
    """The options, once one set of them will do; after MAX_ATTEMPTS that won't, the step fails."""
    pois: list[Poi] = ctx.results["pois"]
    if not pois or not any(intent.actionable for intent in _wishes(ctx.results["intents"])):
        before: list[dict[str, Any]] = ctx.input["plan"]
        return before
    requirements = ctx.results["requirements"]
    state: dict[str, Any] = {"pois": pois, "requirements": requirements, "days": days_of(requirements), "wrong": []}
    for attempt in range(1, MAX_ATTEMPTS + 1):
        await ctx.progress(20 * attempt, f"Laying out the days (attempt {attempt} of {MAX_ATTEMPTS})")
        said = await planner.answer(ctx, _prompt("Lay out the days.", **state))
        state["wrong"] = [*faults(said.options, pois, state["days"])]
        if not state["wrong"]:
            await ctx.say("; or: ".join(f"{one.title}, {len(one.days)} days" for one in said.options))
            return [option.model_dump() for option in said.options]
        await ctx.think(f"That won't do: {state['wrong'][0]}.", data={"faults": state["wrong"][:8]})
    raise StepFailed(f"No plan that will do after {MAX_ATTEMPTS} attempts: {state['wrong'][0]}", retry=False)


def _wishes(said: Sequence[Mapping[str, Any]]) -> list[Intent]:
    return [Intent.model_validate(one) for one in said]
