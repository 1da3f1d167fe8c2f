"""A small gazetteer: a few cities, and the places worth seeing in them."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

__all__ = [
    "CATEGORIES",
    "Poi",
    "cities_in",
    "find",
    "gazetteer",
    "is_of",
    "kinds_in",
    "mentions",
    "plain",
    "same_place",
]

Poi = dict[str, Any]
"""A point of interest: `name` and any other fields. Places that travellers bring themselves are kept unchanged."""

CATEGORIES: Final[Mapping[str, tuple[str, ...]]] = {
    "museum": ("museum", "museums", "art", "gallery", "galleries"),
    "temple": ("temple", "temples", "shrine", "shrines"),
    "garden": ("garden", "gardens", "park", "parks"),
    "market": ("market", "markets"),
    "food": ("food", "restaurant", "restaurants", "bars", "eat"),
    "view": ("view", "views", "tower", "skyline"),
    "walk": ("walk", "walks", "neighbourhood", "neighborhood"),
    "castle": ("castle", "castles"),
    "church": ("church", "churches", "cathedral", "cathedrals"),
}
"""The words for each kind of place."""
_KIN: Final[Mapping[str, frozenset[str]]] = {"temple": frozenset({"temple", "shrine"})}


@cache
def gazetteer() -> Mapping[str, Sequence[Poi]]:
    """The places by city, best known first."""
    cities: dict[str, list[list[Any]]] = json.loads((Path(__file__).parent / "places.json").read_text("utf-8"))
    return {city: [_poi(city, *fields) for fields in places] for city, places in cities.items()}


def _poi(city: str, name_id: str, name: str, category: str, about: str, lat: float, lon: float, minutes: int) -> Poi:
    where = {"lat": lat, "lon": lon}
    known = {"id": f"{city.lower()}-{name_id}", "name": name, "city": city, "category": category}
    return {**known, "description": about, **where, "minutes": minutes}


def plain(text: str) -> str:
    """The text normalized for comparison: lower case, no accents, no punctuation, one space between words."""
    letters = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return " ".join(re.findall(r"[a-z0-9]+", letters.lower()))


def mentions(text: str, name: str) -> bool:
    """Whether the text has the name as whole words."""
    wanted = plain(name)
    return bool(wanted) and f" {wanted} " in f" {plain(text)} "


def same_place(poi: Mapping[str, Any], name: str) -> bool:
    """Whether this is the place of that name or id."""
    return plain(name) in (plain(str(poi.get("name", ""))), plain(str(poi.get("id", ""))))


def cities_in(text: str) -> list[str]:
    """The cities of the gazetteer that a text mentions, in its order."""
    found = [city for city in gazetteer() if mentions(text, city)]
    return sorted(found, key=lambda city: plain(text).index(plain(city)))


def find(query: str, most: int, avoid: Collection[str] = ()) -> list[Poi]:
    """Places for "Kyoto", "gardens in Rome", "Fushimi Inari": at most `most`, none of a kind in `avoid`."""
    named = [poi for poi in _everywhere() if mentions(query, str(poi["name"]))]
    if named:
        return named[:most]
    kinds = kinds_in(query)
    cities = cities_in(query)
    found = [poi for city in cities for poi in gazetteer()[city] if not kinds or is_of(poi, kinds)]
    return _mixed([poi for poi in found if not is_of(poi, avoid)], most)


def _everywhere() -> Iterator[Poi]:
    return (poi for places in gazetteer().values() for poi in places)


def kinds_in(text: str) -> list[str]:
    """The kinds of places that a text mentions."""
    words = set(plain(text).split())
    return [kind for kind, names in CATEGORIES.items() if words & set(names)]


def is_of(poi: Poi, kinds: Collection[str]) -> bool:
    """Whether the place is of one of these kinds."""
    return any(poi.get("category") in _KIN.get(kind, {kind}) for kind in kinds)


def _mixed(found: Sequence[Poi], most: int) -> list[Poi]:
    """The best known ones, with at most two of a kind while there are others."""
    chosen: list[Poi] = []
    for poi in found:
        if sum(other["category"] == poi["category"] for other in chosen) < 2:
            chosen.append(poi)
    rest = [poi for poi in found if poi not in chosen]
    return [*chosen, *rest][:most]
