"""A plain synchronous agent: it knows nothing of plans or event loops, and reports through a callback.

InsightAgent(parse).process_query("How warm is Lisbon in May?", progress_callback=print)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import mean
from typing import Any, Final, Literal, Protocol

from pydantic import BaseModel

__all__ = [
    "CLIMATE",
    "MEASURES",
    "MONTHS",
    "SEASONS",
    "ClimateIntent",
    "InsightAgent",
    "IntentParser",
    "ProgressCallback",
]

MONTHS: Final = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
SEASONS: Final[Mapping[str, tuple[int, int, int]]] = {
    "winter": (11, 0, 1),
    "spring": (2, 3, 4),
    "summer": (5, 6, 7),
    "autumn": (8, 9, 10),
    "fall": (8, 9, 10),
}
MEASURES: Final[Mapping[str, str]] = {"temperature": "°C", "rain": "days of rain"}
CLIMATE: Final[Mapping[str, Mapping[str, Sequence[float]]]] = {
    "Lisbon": {
        "temperature": (11.6, 12.7, 14.9, 15.9, 18.0, 21.2, 23.1, 23.5, 22.1, 18.8, 15.0, 12.4),
        "rain": (10, 9, 8, 9, 6, 2, 1, 1, 4, 8, 10, 10),
    },
    "Rome": {
        "temperature": (7.5, 8.2, 10.9, 13.8, 18.3, 22.3, 25.2, 25.4, 21.4, 16.9, 12.0, 8.4),
        "rain": (7, 7, 7, 8, 5, 3, 2, 3, 6, 8, 10, 8),
    },
    "Paris": {
        "temperature": (5.4, 6.0, 9.2, 12.2, 15.6, 18.8, 20.9, 20.8, 17.2, 13.2, 8.7, 5.9),
        "rain": (10, 9, 9, 8, 9, 8, 7, 8, 7, 9, 10, 11),
    },
    "Tokyo": {
        "temperature": (5.4, 6.1, 9.4, 14.3, 18.8, 21.9, 25.7, 26.9, 23.3, 18.0, 12.5, 7.7),
        "rain": (5, 6, 10, 10, 11, 13, 11, 9, 12, 11, 8, 5),
    },
    "Helsinki": {
        "temperature": (-3.1, -3.8, -0.7, 4.4, 10.4, 14.9, 18.1, 16.9, 12.3, 6.6, 2.4, -0.7),
        "rain": (9, 8, 7, 7, 7, 9, 8, 10, 9, 11, 12, 12),
    },
    "Cairo": {
        "temperature": (14.1, 15.3, 18.1, 22.0, 25.6, 27.9, 28.9, 28.8, 27.1, 24.3, 19.3, 15.4),
        "rain": (3, 3, 2, 1, 1, 0, 0, 0, 0, 1, 1, 3),
    },
}
"""Twelve monthly values by city and measure: means of many years, rounded."""


ProgressCallback = Callable[[str, dict[str, Any]], None]
"""Called with what happened (`intent_parsed` …) and its data."""


class ClimateIntent(BaseModel):
    """What a question is about. GENERAL: compares all cities; UNKNOWN: is about something else.

    `unknown` names the places asked for that the data doesn't have."""

    intent_type: Literal["PARTICULAR", "GENERAL", "UNKNOWN"]
    cities: list[str] = []
    unknown: list[str] = []
    months: list[str] = []
    measure: Literal["temperature", "rain"] = "temperature"


class IntentParser(Protocol):
    """Parses a question, for instance with a language model."""

    def __call__(self, message: str) -> ClimateIntent: ...


class InsightAgent:
    """Parses the intent of a question, then computes the answer from the data."""

    def __init__(self, parse: IntentParser) -> None:
        self._parse = parse

    def process_query(self, message: str, progress_callback: ProgressCallback | None = None) -> dict[str, Any]:
        """Answer a question. The callback is called with each part of the answer, in this thread."""
        report = progress_callback or _ignore
        intent = _checked(self._parse(message))
        report("intent_parsed", {"text": f"Intent: {_in_words(intent)}", **intent.model_dump()})
        if intent.intent_type == "UNKNOWN" or (intent.unknown and not intent.cities):
            insight = _no_data(intent)
            report("insight_generated", {"text": insight})
            return {"intent_result": intent.model_dump(), "insight_result": {"text": insight}, "summary": {}}
        report("generating_insight", {"text": "Generating insight…"})
        rows = _rows(intent)
        insight = " ".join([_insight(intent, rows), *([_no_data(intent)] if intent.unknown else [])])
        report("insight_generated", {"text": insight, "rows": rows})
        summary = _summary(intent, rows)
        report("data_summary", summary)
        return {"intent_result": intent.model_dump(), "insight_result": {"text": insight}, "summary": summary}


def _checked(intent: ClimateIntent) -> ClimateIntent:
    """The intent with the data's own names. A parser may name cities and months that the data doesn't have."""
    cities = {city.casefold(): city for city in CLIMATE}
    known = [cities[city.casefold()] for city in intent.cities if city.casefold() in cities]
    unknown = [city for city in (*intent.cities, *intent.unknown) if city.casefold() not in cities]
    months = [month.capitalize() for month in intent.months if month.capitalize() in MONTHS]
    return intent.model_copy(update={"cities": known, "unknown": [*dict.fromkeys(unknown)], "months": months})


def _no_data(intent: ClimateIntent) -> str:
    known = ", ".join(CLIMATE)
    if not intent.unknown:
        return f"I know how warm and how wet it is in {known}. Ask me about one of them."
    return f"I have no data on {' or '.join(intent.unknown)}; the cities I know are {known}."


def _ignore(kind: str, data: dict[str, Any]) -> None:
    del kind, data


def _in_words(intent: ClimateIntent) -> str:
    if intent.intent_type == "UNKNOWN":
        return "not about the climate"
    where = " and ".join([*intent.cities, *(f"{place} (unknown)" for place in intent.unknown)]) or "all cities"
    return f"{intent.measure} in {where}, {_when(intent.months)}"


def _when(months: Sequence[str]) -> str:
    return "over the year" if len(months) in (0, 12) else " to ".join(dict.fromkeys((months[0], months[-1])))


def _rows(intent: ClimateIntent) -> list[dict[str, Any]]:
    months = [MONTHS.index(month) for month in intent.months] or [*range(12)]
    return [
        {"city": city, "value": round(mean(CLIMATE[city][intent.measure][month] for month in months), 1)}
        for city in intent.cities or CLIMATE
    ]


def _insight(intent: ClimateIntent, rows: Sequence[dict[str, Any]]) -> str:
    unit, when = MEASURES[intent.measure], _when(intent.months)
    if len(rows) == 1:
        per = " a month" if intent.measure == "rain" else " on average"
        return f"{rows[0]['city']}, {when}: {rows[0]['value']:g} {unit}{per}."
    most, least = max(rows, key=_value), min(rows, key=_value)
    word, other = ("Wettest", "driest") if intent.measure == "rain" else ("Warmest", "coolest")
    return f"{word}, {when}: {most['city']} ({most['value']:g} {unit}); {other}: {least['city']} ({least['value']:g})."


def _value(row: dict[str, Any]) -> float:
    return float(row["value"])


def _summary(intent: ClimateIntent, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    months = len(intent.months) or 12
    text = f"{len(rows)} {'city' if len(rows) == 1 else 'cities'}, {months} {'month' if months == 1 else 'months'} of data."
    return {"text": text, "cities": len(rows), "months": months, "unit": MEASURES[intent.measure]}
