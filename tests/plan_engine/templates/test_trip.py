"""The trip's offline agents as functions, and the template in an engine."""

from __future__ import annotations

import time
from typing import Any

import pytest

from plan_engine.templates.trip import TripRequest, trip
from plan_engine.templates.trip.gazetteer import cities_in, find, gazetteer
from plan_engine.templates.trip.itinerary import lay_out, problems_with
from plan_engine.templates.trip.wishes import (
    TripIntent,
    changed_pois,
    changed_requirements,
    days_in,
    parse_wishes,
    searches,
)
from tests.plan_engine.harness import EngineHarness

EMPTY: dict[str, list[dict[str, Any]]] = {"pois": [], "requirements": [], "plan": []}
ROME = {**EMPTY, "pois": list(gazetteer()["Rome"][:4]), "plan": [{"title": "Before"}]}


def wishes(message: str, state: dict[str, list[dict[str, Any]]] = EMPTY) -> list[tuple[str, str, str]]:
    return [(one.intent, one.action, one.value) for one in parse_wishes(message, state).intents]


def intent(kind: Any, action: Any, value: str) -> TripIntent:
    return TripIntent(intent=kind, action=action, value=value)


def names(pois: Any) -> list[str]:
    return [poi["name"] for poi in pois]


# ---- parsing


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (
            "plan a 3 day trip to Tokyo and Kyoto",
            [
                ("poi", "add", "Tokyo"),
                ("poi", "add", "Kyoto"),
                ("requirement", "add", "3 days"),
                ("plan", "create", "3 days in Tokyo and Kyoto"),
            ],
        ),
        ("museums in Paris", [("poi", "add", "museum in Paris"), ("plan", "create", "Paris")]),
        (
            "a 1 day trip to Paris",
            [("poi", "add", "Paris"), ("requirement", "add", "1 day"), ("plan", "create", "1 day in Paris")],
        ),
        ("a trip to Atlantis", [("poi", "add", "Atlantis"), ("plan", "create", "a trip to atlantis")]),
        (
            "a weekend in Hamburg",
            [("poi", "add", "Hamburg"), ("requirement", "add", "2 days"), ("plan", "create", "2 days")],
        ),
        (
            "2 days in Rome and Hamburg",
            [
                ("poi", "add", "Rome"),
                ("poi", "add", "Hamburg"),
                ("requirement", "add", "2 days"),
                ("plan", "create", "2 days in Rome"),
            ],
        ),
        ("What a lovely day", [("other", "none", "What a lovely day")]),
        ("hello", [("other", "none", "hello")]),
    ],
)
def test_wishes_are_parsed(message: str, expected: list[tuple[str, str, str]]) -> None:
    assert wishes(message) == expected


@pytest.mark.parametrize(
    ("message", "first"),
    [
        ("remove the Pantheon", ("poi", "remove", "Pantheon")),
        ("replace Colosseum with the Orange Garden, please", ("poi", "replace", "Colosseum -> Orange Garden")),
        ("Orange Garden instead of the Colosseum", ("poi", "replace", "Colosseum -> Orange Garden")),
        ("add some gardens", ("poi", "add", "garden in Rome")),
        ("add some museums in Hamburg", ("poi", "add", "Hamburg")),
        ("drop the museums", ("poi", "remove", "museum in Rome")),
        ("no museums please", ("requirement", "add", "no museums")),
        ("we are vegetarian", ("requirement", "add", "vegetarian food")),
        ("make it a weekend", ("requirement", "add", "2 days")),
        ("plan it again", ("plan", "update", "plan it again")),
    ],
)
def test_wishes_depend_on_the_state_of_the_trip(message: str, first: tuple[str, str, str]) -> None:
    heard_now = wishes(message, ROME)
    assert heard_now[0] == first
    assert heard_now[-1][:2] == ("plan", "update")


@pytest.mark.parametrize(
    "message",
    [
        "replace" + " " * 8000 + "x",
        "a" + " " * 8000 + "x",
        "replace " * 1000,
        "a " * 4000,
        "please " * 1000 + "instead of",
        "Rome instead of x" + "." * 8000 + "x",
    ],
)
def test_no_message_takes_long_to_parse(message: str) -> None:
    """A client that may start a trip must not be able to block the process that plans it."""
    before = time.process_time()
    parse_wishes(message, ROME)
    assert time.process_time() - before < 0.5


@pytest.mark.parametrize(("text", "days"), [("3 days", 3), ("five-day trip", 5), ("a week", 7), ("someday", None)])
def test_days_are_counted(text: str, days: int | None) -> None:
    assert days_in(text) == days


# ---- finding and changing


def test_the_gazetteer_finds_cities_kinds_and_names() -> None:
    assert cities_in("first Kyoto, then Tokyo") == ["Kyoto", "Tokyo"]
    assert {poi["city"] for poi in find("Lisbon", 5)} == {"Lisbon"}
    assert {poi["category"] for poi in find("temples in Kyoto", 9)} == {"temple", "shrine"}
    assert names(find("the Fushimi Inari shrine", 9)) == ["Fushimi Inari"]
    assert "museum" not in {poi["category"] for poi in find("Paris", 9, ["museum"])}
    assert find("Atlantis", 5) == []


def test_every_place_has_all_fields_that_are_shown() -> None:
    places = [poi for city in gazetteer().values() for poi in city]
    assert len({poi["id"] for poi in places}) == len(places) > 50
    assert {frozenset(poi) for poi in places} == {
        frozenset({"id", "name", "city", "category", "description", "lat", "lon", "minutes"})
    }


def test_places_are_added_once_removed_and_replaced_in_position() -> None:
    before = [*ROME["pois"], {"name": "My aunt's"}]
    garden = find("Orange Garden", 1)
    swap = [intent("poi", "replace", "Roman Forum -> Orange Garden")]
    assert searches(swap) == ["Orange Garden"]
    swapped = changed_pois(before, swap, {"Orange Garden": garden})
    assert names(swapped) == ["Colosseum", "Orange Garden", "Pantheon", "Vatican Museums", "My aunt's"]
    assert changed_pois(before, swap, {"Orange Garden": []}) == before, "nothing is known that could take its place"
    add = [intent("poi", "add", "Rome")]
    assert changed_pois(before, add, {"Rome": before[:2]}) == before
    assert changed_pois(before, [intent("poi", "remove", "Rome")], {}) == [{"name": "My aunt's"}]
    assert "Vatican Museums" not in names(changed_pois(before, [intent("requirement", "add", "no museums")], {}))


def test_a_trip_has_one_length() -> None:
    before = [{"description": "3 days", "priority": "must"}, {"description": "vegetarian food", "priority": "must"}]
    after = changed_requirements(before, [intent("requirement", "add", "5 days")])
    assert [one["description"] for one in after] == ["vegetarian food", "5 days"]
    assert changed_requirements(after, [intent("requirement", "remove", "Vegetarian food")]) == [after[1]]


# ---- planning


def test_the_layout_has_no_problems() -> None:
    pois = [*gazetteer()["Tokyo"][:6], *gazetteer()["Kyoto"][:6]]
    options = lay_out(pois, 3).options
    assert [*problems_with(options, pois, 3)] == []
    for option in options:
        assert [len(day.stops) for day in option.days] == [4, 4, 4]
        assert sorted(stop.name for day in option.days for stop in day.stops) == sorted(names(pois))


def test_problems_of_an_itinerary_are_found() -> None:
    pois = gazetteer()["Paris"]
    [first, *_] = problems_with(lay_out(pois, 1).options, pois, 1)
    assert first == "“One thing after the other”: day 1 would take 20 hours; more days, or fewer places, would fit"
    one_day = lay_out(pois[:3], 1).options
    assert next(iter(problems_with(one_day, pois[:4], 1))).endswith("leaves out notre dame")
    assert next(iter(problems_with(one_day, pois[:3], 2))).endswith("has 1 days, not 2")
    assert [*problems_with([], pois, 1)] == ["it has no option"]


def test_there_may_be_more_days_than_places() -> None:
    [option, _] = lay_out(gazetteer()["Rome"][:1], 3).options
    assert [day.title for day in option.days] == ["Rome", "A free day", "A free day"]


# ---- the template


def test_its_input_is_checked() -> None:
    assert trip.fit({"message": "hi"}) == {"message": "hi", **EMPTY}
    for given in ({}, {"message": ""}, {"message": "hi", "pois": [1]}):
        with pytest.raises(ValueError, match=r"message|pois"):
            trip.fit(given)
    assert trip.plan(TripRequest(message="\x1d").model_dump()).title == "A trip"
    assert trip.plan(TripRequest(message="x" * 200).model_dump()).title == f"{'x' * 79}…"


async def test_a_trip_is_planned(harness: EngineHarness) -> None:
    async with harness.engine(trip) as engine:
        await engine.start("trip", {"message": "plan a 2 day trip to Barcelona"}, "p")
        done = await harness.outcome(engine, "p")
    assert done.status == "completed"
    assert set(done.result) == {"intents", "pois", "requirements", "plan"}
    events = await harness.events("p")
    shown = [event.data["data"]["poi"] for event in events if "poi" in (event.data.get("data") or {})]
    assert shown == done.result["pois"]
    assert [event.data["phase"] for event in events if event.type == "tool_call"] == ["started", "completed"]
    snapshot = await harness.snapshot("p")
    assert (snapshot.status, snapshot.progress) == ("completed", 100)
    assert [step.status for step in snapshot.steps] == ["completed"] * 4


async def _said(harness: EngineHarness, plan_id: str) -> list[str]:
    return [message.content for message in (await harness.snapshot(plan_id)).messages]


async def test_unknown_places_are_named_and_known_ones_planned(harness: EngineHarness) -> None:
    async with harness.engine(trip) as engine:
        await engine.start("trip", {"message": "a trip to Atlantis", "plan": [{"kept": True}]}, "p")
        await engine.start("trip", {"message": "2 days in Rome and Hamburg"}, "q")
        await engine.start("trip", {"message": "castles in Tokyo"}, "r")
        nothing, rome, _ = [await harness.outcome(engine, plan_id) for plan_id in "pqr"]
    assert (nothing.result["pois"], nothing.result["plan"]) == ([], [{"kept": True}])
    known = f"The cities I know are {', '.join(gazetteer())}."
    assert {f"I don't know Atlantis. {known}", "There is nothing to plan: the trip has no place that I know."} <= {
        *await _said(harness, "p")
    }
    assert {poi["city"] for poi in rome.result["pois"]} == {"Rome"}
    assert f"I don't know Hamburg. {known}" in await _said(harness, "q")
    assert "I know no castle in Tokyo." in await _said(harness, "r")


async def test_new_places_are_numbered_and_each_reported_once(harness: EngineHarness) -> None:
    async with harness.engine(trip) as engine:
        await engine.start("trip", {**ROME, "message": "add temples in Kyoto"}, "added")
        await engine.start("trip", {**ROME, "message": "replace Colosseum with the Orange Garden"}, "replaced")
        added, _ = await harness.outcome(engine, "added"), await harness.outcome(engine, "replaced")
    new = [*enumerate(added.result["pois"], 1)][4:]
    numbered = [text for text in await _said(harness, "added") if text[0].isdigit()]
    assert numbered == [f"{at}. {poi['name']}, Kyoto: {poi['description']}" for at, poi in new]
    assert len(numbered) > 1
    said = await _said(harness, "replaced")
    assert "No longer in the trip: Colosseum." in said
    assert [text for text in said if text[0].isdigit()] == [
        "1. Orange Garden, Rome: Bitter oranges, and Saint Peter's through the trees"
    ]


async def test_an_itinerary_with_problems_is_tried_twice(harness: EngineHarness) -> None:
    pois = [{"name": f"Place {number}"} for number in range(20)]
    async with harness.engine(trip) as engine:
        await engine.start("trip", {"message": "plan it in 1 day", "pois": pois}, "p")
        done = await harness.outcome(engine, "p")
    assert done.status == "error"
    assert "No plan that works after 2 attempts" in str(done.message)
    said = [message.content for message in (await harness.snapshot("p")).messages]
    assert sum(text.startswith("That doesn't work: ") for text in said) == 2
