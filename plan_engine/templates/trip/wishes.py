"""What a traveller wants: wishes parsed from a message by plain rules, and how they change places and requirements."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from plan_engine.templates.place_names import place_names
from plan_engine.templates.trip.gazetteer import Poi, cities_in, gazetteer, is_of, kinds_in, mentions, plain, same_place

__all__ = [
    "ARROW",
    "Requirement",
    "TripIntent",
    "TripIntents",
    "TripRequest",
    "avoided",
    "changed_pois",
    "changed_requirements",
    "days_in",
    "days_of",
    "parse_wishes",
    "priority_of",
    "searches",
]

Requirement = dict[str, Any]
"""A `description`, and a `priority`: must or nice."""
Items = Annotated[list[dict[str, Any]], Field(max_length=200)]


class TripRequest(BaseModel):
    """What the traveller says, and the current state of the trip."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"message": "plan a 3 day trip to Tokyo and Kyoto", "pois": []}]}
    )

    message: Annotated[str, Field(min_length=1, max_length=8192, pattern=r"\S")]
    pois: Items = Field(default_factory=list[dict[str, Any]])
    requirements: Items = Field(default_factory=list[dict[str, Any]])
    plan: Items = Field(default_factory=list[dict[str, Any]])


class TripIntent(BaseModel):
    """One wish of the traveller. A replacement is written `this -> that`."""

    intent: Literal["poi", "requirement", "plan", "other"]
    action: Literal["add", "remove", "replace", "create", "update", "none"]
    value: str

    @property
    def actionable(self) -> bool:
        return self.intent != "other" and self.action != "none"


class TripIntents(BaseModel):
    """All wishes, in the order in which they are carried out."""

    intents: list[TripIntent]


ARROW: Final = " -> "
_NUMBERS: Final = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_days: Final = re.compile(rf"\b(\d\d?|{'|'.join(_NUMBERS)})[ -]?(?:day|night)s?\b", re.IGNORECASE)
_swap: Final = re.compile(r"\b(?:replace|swap|exchange) (?=.)", re.IGNORECASE)
_with: Final = re.compile(r" (?:with|for|by) ([^,;!?]+)", re.IGNORECASE)
_instead: Final = re.compile(r" instead of ([^,;!?]+)", re.IGNORECASE)
_pause: Final = re.compile(r"[,;!?]")
_away: Final = re.compile(r"\b(?:remove|drop|delete|skip|cancel|leave out|take out|without)\b", re.IGNORECASE)
_no: Final = re.compile(r"\b(?:no|not|avoid|hate|dislike|without)\s+([^,.;!?]+)", re.IGNORECASE)
_planning: Final = re.compile(r"\b(?:plan|itinerary|schedule|trip|organi[sz]e|route)\b", re.IGNORECASE)
_WISHES: Final[Mapping[str, tuple[str, str]]] = {
    r"vegetarian|vegan": ("vegetarian food", "must"),
    r"wheelchair|accessible|no stairs": ("step-free places", "must"),
    r"kids|children|toddler|family": ("good with children", "must"),
    r"cheap|budget|free entry": ("easy on the budget", "nice"),
    r"slow|relaxed|unhurried|easy pace": ("an easy pace", "nice"),
    r"early|sunrise|morning person": ("early starts", "nice"),
}


def parse_wishes(message: str, state: Mapping[str, Sequence[Mapping[str, Any]]]) -> TripIntents:
    """The wishes in a message, given the state of the trip. Takes linear time: a message may be any text."""
    message = " ".join(message.split())
    found = [*_pois(message, state), *_requirements(message)]
    asks = bool(_planning.search(message)) and bool(state["pois"] or found)
    if found or asks:
        action = "update" if state["plan"] else "create"
        return TripIntents(intents=[*found, TripIntent(intent="plan", action=action, value=_summary(message))])
    return TripIntents(intents=[TripIntent(intent="other", action="none", value=message.strip()[:120])])


def days_in(text: str) -> int | None:
    """The number of days that a text mentions, if any."""
    if found := _days.search(text):
        word = found[1].lower()
        return max(1, _NUMBERS.index(word) + 1 if word in _NUMBERS else int(word))
    return 2 if mentions(text, "weekend") else 7 if mentions(text, "a week") else None


def days_of(requirements: Sequence[Mapping[str, Any]]) -> int | None:
    """The trip's length in days, by its requirements."""
    mentioned = (days_in(str(requirement.get("description", ""))) for requirement in requirements)
    return next((days for days in mentioned if days is not None), None)


def avoided(requirements: Sequence[Mapping[str, Any]]) -> list[str]:
    """Kinds of places that the requirements exclude."""
    texts = (str(requirement.get("description", "")) for requirement in requirements)
    return [kind for text in texts if text.startswith("no ") for kind in kinds_in(text)]


def _pois(message: str, state: Mapping[str, Sequence[Mapping[str, Any]]]) -> Iterator[TripIntent]:
    if swap := _swapped(message):
        yield TripIntent(intent="poi", action="replace", value=ARROW.join(map(_tidy, swap)))
        return
    places, cities = _places(message, state), cities_in(message)
    action = "remove" if _away.search(message) else "add"
    for place in places:
        yield TripIntent(intent="poi", action=action, value=place)
    unknown = [name for name in place_names(message) if not _known(name, [*places, *cities])]
    if not places:
        cities = cities if cities or unknown else _cities_of(state)
        yield from _city_wishes(message, cities, named=bool(cities_in(message)), action=action)
    for name in unknown:
        yield TripIntent(intent="poi", action=action, value=name)


def _known(name: str, places: Sequence[str]) -> bool:
    """Whether a name is one of these places, a part of its name, or it with more words."""
    return any(mentions(name, place) or mentions(place, name) for place in places)


def _swapped(message: str) -> tuple[str, str] | None:
    """What to remove, and what to add in its place."""
    if (swap := _swap.search(message)) and (new := _with.search(message, swap.end() + 1)):
        return message[swap.end() : new.start()], new[1]
    if (old := _instead.search(message)) and (before := _pause.split(message[: old.start()])[-1]):
        return old[1], before
    return None


def _city_wishes(message: str, cities: Sequence[str], *, named: bool, action: str) -> Iterator[TripIntent]:
    """Wishes for cities, or for kinds of places in them."""
    kinds = [kind for kind in kinds_in(message) if kind not in _unwanted(message)]
    for city in cities:
        for kind in kinds:
            yield TripIntent(intent="poi", action="add" if action == "add" else "remove", value=f"{kind} in {city}")
        if named and not kinds:
            yield TripIntent(intent="poi", action="add" if action == "add" else "remove", value=city)


def _requirements(message: str) -> Iterator[TripIntent]:
    if (days := days_in(message)) is not None:
        yield TripIntent(intent="requirement", action="add", value=_length(days))
    for kind in _unwanted(message):
        yield TripIntent(intent="requirement", action="add", value=f"no {kind}s")
    for pattern, (wish, _) in _WISHES.items():
        if re.search(rf"\b(?:{pattern})\b", message, re.IGNORECASE):
            yield TripIntent(intent="requirement", action="add", value=wish)


def _unwanted(message: str) -> list[str]:
    """Kinds of places that a message excludes."""
    return [kind for excluded in _no.findall(message) for kind in kinds_in(excluded)]


def _places(message: str, state: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[str]:
    """Places mentioned by name, including those that the traveller already has."""
    known = [str(poi.get("name", "")) for poi in state["pois"]]
    known += [str(poi["name"]) for places in gazetteer().values() for poi in places]
    return [name for name in dict.fromkeys(known) if mentions(message, name)]


def _cities_of(state: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[str]:
    cities = (str(poi.get("city", "")) for poi in state["pois"])
    return [city for city in dict.fromkeys(cities) if city in gazetteer()]


def _tidy(name: str) -> str:
    return re.sub(r"^(?:please )?(?:add )?(?:the )?", "", name.strip().rstrip(".!?"), flags=re.IGNORECASE).strip()


def _summary(message: str) -> str:
    where, days = " and ".join(cities_in(message)), days_in(message)
    return " in ".join(filter(None, [_length(days) if days else "", where])) or plain(message)[:80]


def _length(days: int) -> str:
    return "1 day" if days == 1 else f"{days} days"


def priority_of(wish: str) -> str:
    """The priority of a requirement."""
    return next((priority for name, priority in _WISHES.values() if name == wish), "must")


def searches(intents: Sequence[TripIntent]) -> list[str]:
    """The places to search for, as queries for `find`."""
    wanted = (_new(intent) for intent in intents if intent.intent == "poi")
    return [query for query in wanted if query]


def changed_pois(before: Sequence[Poi], intents: Sequence[TripIntent], found: Mapping[str, Sequence[Poi]]) -> list[Poi]:
    """The places after these wishes; `found` has the result of each search."""
    pois = list(before)
    for intent in intents:
        new = found.get(_new(intent), ())
        if intent.intent != "poi" or (intent.action == "replace" and not new):
            continue
        at = len(pois)
        if intent.action in ("remove", "replace"):
            gone = [poi for poi in pois if _is_meant(poi, intent.value.partition(ARROW)[0])]
            at = pois.index(gone[0]) if gone else at
            pois = [poi for poi in pois if poi not in gone]
        pois[at:at] = _not_in(pois, new)
    unwanted = avoided([{"description": one.value} for one in intents if one.intent == "requirement"])
    return [poi for poi in pois if not is_of(poi, unwanted)]


def changed_requirements(before: Sequence[Requirement], intents: Sequence[TripIntent]) -> list[Requirement]:
    """The requirements after these wishes. A trip has one length, so a new one replaces the old."""
    requirements = list(before)
    for intent in intents:
        if intent.intent != "requirement":
            continue
        length = days_in(intent.value) is not None
        requirements = [one for one in requirements if not _is_replaced(one, intent.value, length=length)]
        if intent.action != "remove":
            requirements.append({"description": intent.value, "priority": priority_of(intent.value)})
    return requirements


def _is_replaced(requirement: Requirement, value: str, *, length: bool) -> bool:
    description = str(requirement.get("description", ""))
    return description.casefold() == value.casefold() or (length and days_in(description) is not None)


def _new(intent: TripIntent) -> str:
    """What an intent adds."""
    if intent.action == "replace":
        return intent.value.partition(ARROW)[2]
    return intent.value if intent.action == "add" else ""


def _is_meant(poi: Poi, words: str) -> bool:
    """Whether these words mean this place: its name, "museums in Rome", or "Rome"."""
    if same_place(poi, words):
        return True
    kinds, cities = kinds_in(words), cities_in(words)
    return poi.get("city") in cities and (not kinds or is_of(poi, kinds))


def _not_in(pois: Sequence[Poi], found: Sequence[Poi]) -> Iterator[Poi]:
    return (poi for poi in found if not any(same_place(one, str(poi["name"])) for one in pois))
