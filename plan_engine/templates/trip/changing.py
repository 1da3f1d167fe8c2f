"""How wishes change places and requirements. Pure: what there was, and what is wanted, give what there is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from plan_engine.templates.trip.gazetteer import cities_in, is_of, kinds_in, same_place
from plan_engine.templates.trip.listening import ARROW, avoided, days_in, priority_of
from plan_engine.templates.trip.wishes import Intent, Poi, Requirement

__all__ = ["changed_pois", "changed_requirements", "searches"]


def searches(intents: Sequence[Intent]) -> list[str]:
    """What is to be looked for, in words that `find` understands."""
    wanted = (_new(intent) for intent in intents if intent.intent == "poi")
    return [query for query in wanted if query]


def changed_pois(before: Sequence[Poi], intents: Sequence[Intent], found: Mapping[str, Sequence[Poi]]) -> list[Poi]:
    """The places after these wishes; `found` says what each search came to."""
    pois = list(before)
    for intent in intents:
        new = found.get(_new(intent), ())
        if intent.intent != "poi" or (intent.action == "replace" and not new):
            continue
        at = len(pois)
        if intent.action in ("remove", "replace"):
            gone = [poi for poi in pois if _meant(poi, intent.value.partition(ARROW)[0])]
            at = pois.index(gone[0]) if gone else at
            pois = [poi for poi in pois if poi not in gone]
        pois[at:at] = _not_yet(pois, new)
    unwanted = avoided([{"description": one.value} for one in intents if one.intent == "requirement"])
    return [poi for poi in pois if not is_of(poi, unwanted)]


def changed_requirements(before: Sequence[Requirement], intents: Sequence[Intent]) -> list[Requirement]:
    """The requirements after these wishes. A trip has one length: a new one takes the place of the old."""
    requirements = list(before)
    for intent in intents:
        if intent.intent != "requirement":
            continue
        length = days_in(intent.value) is not None
        requirements = [one for one in requirements if not _gives_way(one, intent.value, length=length)]
        if intent.action != "remove":
            requirements.append({"description": intent.value, "priority": priority_of(intent.value)})
    return requirements


def _gives_way(requirement: Requirement, value: str, *, length: bool) -> bool:
    description = str(requirement.get("description", ""))
    return description.casefold() == value.casefold() or (length and days_in(description) is not None)


def _new(intent: Intent) -> str:
    """What an intent wants that may not be there yet."""
    if intent.action == "replace":
        return intent.value.partition(ARROW)[2]
    return intent.value if intent.action == "add" else ""


def _meant(poi: Poi, words: str) -> bool:
    """By its name, or as one of "museums in Rome", or of all in Rome."""
    if same_place(poi, words):
        return True
    kinds, cities = kinds_in(words), cities_in(words)
    return poi.get("city") in cities and (not kinds or is_of(poi, kinds))


def _not_yet(pois: Sequence[Poi], found: Sequence[Poi]) -> Iterator[Poi]:
    return (poi for poi in found if not any(same_place(one, str(poi["name"])) for one in pois))
