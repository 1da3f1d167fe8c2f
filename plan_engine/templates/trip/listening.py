"""What the offline concierge makes of a message: which wishes there are in it, by plain rules."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from plan_engine.templates.trip.gazetteer import cities_in, gazetteer, kinds_in, mentions, plain
from plan_engine.templates.trip.wishes import Intent, Intents

__all__ = ["ARROW", "avoided", "days_in", "days_of", "heard", "priority_of"]

ARROW: Final = " -> "
_NUMBERS: Final = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_days: Final = re.compile(rf"\b(\d\d?|{'|'.join(_NUMBERS)})[ -]?(?:day|night)s?\b", re.IGNORECASE)
_swap: Final = re.compile(r"\b(?:replace|swap|exchange) (?=.)", re.IGNORECASE)
_with: Final = re.compile(r" (?:with|for|by) ([^,;!?]+)", re.IGNORECASE)
_instead: Final = re.compile(r" instead of ([^,;!?]+)", re.IGNORECASE)
_pause: Final = re.compile(r"[,;!?]")
_away: Final = re.compile(r"\b(?:remove|drop|delete|skip|cancel|leave out|take out|without)\b", re.IGNORECASE)
_no: Final = re.compile(r"\b(?:no|not|avoid|hate|dislike|without)\s+([^,.;!?]+)", re.IGNORECASE)
_somewhere: Final = re.compile(r"\b(?:trip|travel|go|fly|visit)\s+(?:to\s+)?([A-Z][\w'-]+)")
_planning: Final = re.compile(r"\b(?:plan|itinerary|schedule|trip|organi[sz]e|route)\b", re.IGNORECASE)
_WISHES: Final[Mapping[str, tuple[str, str]]] = {
    r"vegetarian|vegan": ("vegetarian food", "must"),
    r"wheelchair|accessible|no stairs": ("step-free places", "must"),
    r"kids|children|toddler|family": ("good with children", "must"),
    r"cheap|budget|free entry": ("easy on the budget", "nice"),
    r"slow|relaxed|unhurried|easy pace": ("an easy pace", "nice"),
    r"early|sunrise|morning person": ("early starts", "nice"),
}


def heard(message: str, state: Mapping[str, Sequence[Mapping[str, Any]]]) -> Intents:
    """The wishes in a message, given how things stand. It takes no longer than reading: travellers write what they like."""
    message = " ".join(message.split())
    found = [*_pois(message, state), *_requirements(message)]
    asks = bool(_planning.search(message)) and bool(state["pois"] or found)
    if found or asks:
        action = "update" if state["plan"] else "create"
        return Intents(intents=[*found, Intent(intent="plan", action=action, value=_summary(message))])
    return Intents(intents=[Intent(intent="other", action="none", value=message.strip()[:120])])


def days_in(text: str) -> int | None:
    """How many days are spoken of, if that is said."""
    if said := _days.search(text):
        word = said[1].lower()
        return max(1, _NUMBERS.index(word) + 1 if word in _NUMBERS else int(word))
    return 2 if mentions(text, "weekend") else 7 if mentions(text, "a week") else None


def days_of(requirements: Sequence[Mapping[str, Any]]) -> int | None:
    """How long the trip is to be, by its requirements."""
    said = (days_in(str(requirement.get("description", ""))) for requirement in requirements)
    return next((days for days in said if days is not None), None)


def avoided(requirements: Sequence[Mapping[str, Any]]) -> list[str]:
    """Kinds of places that are not wanted."""
    said = (str(requirement.get("description", "")) for requirement in requirements)
    return [kind for text in said if text.startswith("no ") for kind in kinds_in(text)]


def _pois(message: str, state: Mapping[str, Sequence[Mapping[str, Any]]]) -> Iterator[Intent]:
    if swap := _swapped(message):
        yield Intent(intent="poi", action="replace", value=ARROW.join(map(_tidy, swap)))
        return
    places, cities = _places(message, state), cities_in(message)
    action = "remove" if _away.search(message) else "add"
    for place in places:
        yield Intent(intent="poi", action=action, value=place)
    if not places:
        yield from _wanted(message, cities or _cities_of(state), named=bool(cities), action=action)
    if not places and not cities and (somewhere := _somewhere.search(message)) is not None:
        yield Intent(intent="poi", action="add", value=somewhere[1])


def _swapped(message: str) -> tuple[str, str] | None:
    """What is to go, and what is to come for it."""
    if (swap := _swap.search(message)) and (new := _with.search(message, swap.end() + 1)):
        return message[swap.end() : new.start()], new[1]
    if (old := _instead.search(message)) and (said := _pause.split(message[: old.start()])[-1]):
        return old[1], said
    return None


def _wanted(message: str, cities: Sequence[str], *, named: bool, action: str) -> Iterator[Intent]:
    """Cities, or kinds of places in them."""
    kinds = [kind for kind in kinds_in(message) if kind not in _unwanted(message)]
    for city in cities:
        for kind in kinds:
            yield Intent(intent="poi", action="add" if action == "add" else "remove", value=f"{kind} in {city}")
        if named and not kinds:
            yield Intent(intent="poi", action="add" if action == "add" else "remove", value=city)


def _requirements(message: str) -> Iterator[Intent]:
    if (days := days_in(message)) is not None:
        yield Intent(intent="requirement", action="add", value=_length(days))
    for kind in _unwanted(message):
        yield Intent(intent="requirement", action="add", value=f"no {kind}s")
    for pattern, (wish, _) in _WISHES.items():
        if re.search(rf"\b(?:{pattern})\b", message, re.IGNORECASE):
            yield Intent(intent="requirement", action="add", value=wish)


def _unwanted(message: str) -> list[str]:
    """Kinds of places that are spoken against."""
    return [kind for said in _no.findall(message) for kind in kinds_in(said)]


def _places(message: str, state: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[str]:
    """Places that are called by their names, those the traveller has already among them."""
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
    """How much a requirement matters."""
    return next((priority for name, priority in _WISHES.values() if name == wish), "must")
