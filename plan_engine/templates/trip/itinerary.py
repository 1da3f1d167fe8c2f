"""Lays out places over days, and checks such a plan."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Annotated, Final

from pydantic import BaseModel, Field

from plan_engine.templates.trip.gazetteer import Poi, plain

__all__ = ["Day", "TripOption", "TripOptions", "Visit", "lay_out", "problems_with"]

BEGINS: Final = 9 * 60 + 30
ENDS: Final = 23 * 60
BETWEEN: Final = 30
VISIT: Final = 90
A_DAY: Final = 4
LONGEST: Final = 14


class Visit(BaseModel):
    """A visit to a place."""

    name: str
    start: Annotated[str, Field(pattern=r"^\d{2}:\d{2}$")]
    end: Annotated[str, Field(pattern=r"^\d{2}:\d{2}$")]


class Day(BaseModel):
    """A day of the trip."""

    day: int
    title: str
    stops: list[Visit]


class TripOption(BaseModel):
    """One possible plan for the trip."""

    title: str
    summary: str
    days: list[Day]


class TripOptions(BaseModel):
    """Several possible plans."""

    options: list[TripOption]


def lay_out(pois: Sequence[Poi], days: int | None) -> TripOptions:
    """Two options: city by city in the given order, and within each city by kind of place."""
    days = days or min(LONGEST, max(1, math.ceil(len(pois) / A_DAY)))
    order = list(dict.fromkeys(str(poi.get("city", "")) for poi in pois))
    by_city = sorted(pois, key=lambda poi: order.index(str(poi.get("city", ""))))
    by_kind = sorted(by_city, key=lambda poi: (order.index(str(poi.get("city", ""))), str(poi.get("category", ""))))
    return TripOptions(
        options=[
            _option("One thing after the other", "In the order in which you chose them.", by_city, days),
            _option("What goes together", "The same places, like beside like.", by_kind, days),
        ]
    )


def problems_with(options: Sequence[TripOption], pois: Sequence[Poi], days: int | None) -> Iterator[str]:
    """What is wrong with these options, for their author."""
    if not options:
        yield "it has no option"
    wanted = Counter(plain(str(poi.get("name", ""))) for poi in pois)
    for option in options:
        visited = Counter(plain(stop.name) for day in option.days for stop in day.stops)
        if missing := [name for name in wanted if visited[name] < wanted[name]]:
            yield f"“{option.title}” leaves out {', '.join(missing[:3])}"
        if days is not None and len(option.days) != days:
            yield f"“{option.title}” has {len(option.days)} days, not {days}"
        yield from (f"“{option.title}”: {problem}" for day in option.days for problem in _too_long(day))


def _too_long(day: Day) -> Iterator[str]:
    if day.stops and (end := _minutes(day.stops[-1].end)) > ENDS:
        hours = math.ceil((end - BEGINS) / 60)
        yield f"day {day.day} would take {hours} hours; more days, or fewer places, would fit"


def _option(title: str, summary: str, pois: Sequence[Poi], days: int) -> TripOption:
    size, rest = divmod(len(pois), days)
    laid: list[Day] = []
    at = 0
    for number in range(1, days + 1):
        end = at + size + (number <= rest)
        laid.append(_day(number, pois[at:end]))
        at = end
    return TripOption(title=title, summary=summary, days=laid)


def _day(number: int, pois: Sequence[Poi]) -> Day:
    stops: list[Visit] = []
    now = BEGINS
    for poi in pois:
        end = now + int(poi.get("minutes") or VISIT)
        stops.append(Visit(name=str(poi.get("name", "")), start=_clock(now), end=_clock(end)))
        now = end + BETWEEN
    title = " and ".join(dict.fromkeys(str(poi["city"]) for poi in pois if poi.get("city")))
    return Day(day=number, title=title or "A free day", stops=stops)


def _clock(minutes: int) -> str:
    """Hours count on past midnight; such a day is reported as too long."""
    return f"{min(minutes, 99 * 60 + 59) // 60:02d}:{minutes % 60:02d}"


def _minutes(clock: str) -> int:
    hours, _, minutes = clock.partition(":")
    return int(hours) * 60 + int(minutes)
