"""A plain, synchronous agent, as there are many: it knows no plan and no event loop, it calls back when it knows something.

InsightAgent(ask).process_query("How warm is Lisbon in May?", progress_callback=print)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import mean
from typing import Any, Literal, Protocol

from pydantic import BaseModel

from plan_engine.templates.insight_chat.climate import CLIMATE, MEASURES, MONTHS

__all__ = ["Ask", "InsightAgent", "Intent", "ProgressCallback"]

ProgressCallback = Callable[[str, dict[str, Any]], None]
"""Told what has happened (`intent_parsed` …), and what came of it."""


class Intent(BaseModel):
    """What a question is about. GENERAL: all cities are compared; UNKNOWN: it is about something else."""

    intent_type: Literal["PARTICULAR", "GENERAL", "UNKNOWN"]
    cities: list[str] = []
    months: list[str] = []
    measure: Literal["temperature", "rain"] = "temperature"


class Ask(Protocol):
    """Whoever understands questions: a language model, say."""

    def __call__(self, message: str) -> Intent: ...


class InsightAgent:
    """Parses the intent of a question, then gets the insight out of the data."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    def process_query(self, message: str, progress_callback: ProgressCallback | None = None) -> dict[str, Any]:
        """The answer. Meanwhile the callback hears of each part of it, in this thread."""
        report = progress_callback or _to_nobody
        intent = self._ask(message)
        report("intent_parsed", {"text": f"Intent: {_in_words(intent)}", **intent.model_dump()})
        if intent.intent_type == "UNKNOWN":
            insight = f"I know how warm and how wet it is in {', '.join(CLIMATE)}. Ask me about one of them."
            report("insight_generated", {"text": insight})
            return {"intent_result": intent.model_dump(), "insight_result": {"text": insight}, "summary": {}}
        report("generating_insight", {"text": "Generating insight…"})
        rows = _rows(intent)
        insight = _insight(intent, rows)
        report("insight_generated", {"text": insight, "rows": rows})
        summary = _summary(intent, rows)
        report("data_summary", summary)
        return {"intent_result": intent.model_dump(), "insight_result": {"text": insight}, "summary": summary}


def _to_nobody(kind: str, what: dict[str, Any]) -> None:
    """Without a callback, nobody hears of progress."""
    del kind, what


def _in_words(intent: Intent) -> str:
    if intent.intent_type == "UNKNOWN":
        return "nothing that the data knows of"
    where = " and ".join(intent.cities) or "all cities"
    return f"{intent.measure} in {where}, {_when(intent.months)}"


def _when(months: Sequence[str]) -> str:
    return "over the year" if len(months) in (0, 12) else " to ".join(dict.fromkeys((months[0], months[-1])))


def _rows(intent: Intent) -> list[dict[str, Any]]:
    months = [MONTHS.index(month) for month in intent.months] or [*range(12)]
    return [
        {"city": city, "value": round(mean(CLIMATE[city][intent.measure][month] for month in months), 1)}
        for city in intent.cities or CLIMATE
    ]


def _insight(intent: Intent, rows: Sequence[dict[str, Any]]) -> str:
    unit, when = MEASURES[intent.measure], _when(intent.months)
    if len(rows) == 1:
        per = " a month" if intent.measure == "rain" else " on average"
        return f"{rows[0]['city']}, {when}: {rows[0]['value']:g} {unit}{per}."
    most, least = max(rows, key=_value), min(rows, key=_value)
    word, other = ("Wettest", "driest") if intent.measure == "rain" else ("Warmest", "coolest")
    return f"{word}, {when}: {most['city']} ({most['value']:g} {unit}); {other}: {least['city']} ({least['value']:g})."


def _value(row: dict[str, Any]) -> float:
    return float(row["value"])


def _summary(intent: Intent, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    months = len(intent.months) or 12
    text = f"{len(rows)} {'city' if len(rows) == 1 else 'cities'}, {months} {'month' if months == 1 else 'months'} of data."
    return {"text": text, "cities": len(rows), "months": months, "unit": MEASURES[intent.measure]}
