"""A plain synchronous agent: alone, and at work in an engine."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from plan_engine.templates.insight_chat import insight_chat, parse_intent
from plan_engine.templates.insight_chat.agent import CLIMATE, MEASURES, MONTHS, ClimateIntent, InsightAgent
from tests.plan_engine.harness import EngineHarness

KINDS = ["intent_parsed", "generating_insight", "insight_generated", "data_summary"]


@pytest.mark.parametrize(
    ("message", "intent"),
    [
        ("How warm is Lisbon in May?", {"intent_type": "PARTICULAR", "cities": ["Lisbon"], "months": ["May"]}),
        ("Paris or Rome?", {"intent_type": "PARTICULAR", "cities": ["Paris", "Rome"]}),
        (
            "Where do I need an umbrella in winter?",
            {"intent_type": "GENERAL", "measure": "rain", "months": ["December", "January", "February"]},
        ),
        ("How warm is Hamburg in May?", {"intent_type": "PARTICULAR", "unknown": ["Hamburg"], "months": ["May"]}),
        ("how warm is hamburg in may?", {"intent_type": "PARTICULAR", "unknown": ["hamburg"], "months": ["May"]}),
        ("Rome or New York?", {"intent_type": "PARTICULAR", "cities": ["Rome"], "unknown": ["New York"]}),
        ("Tell me a joke", {"intent_type": "UNKNOWN"}),
        ("You may sing", {"intent_type": "UNKNOWN"}),
    ],
)
def test_questions_are_parsed(message: str, intent: dict[str, Any]) -> None:
    assert parse_intent(message).model_dump(exclude_defaults=True) == intent


@pytest.mark.parametrize(
    ("message", "insight"),
    [
        ("How warm is Lisbon in May?", "Lisbon, May: 18 °C on average."),
        ("Does it rain in Cairo in summer?", "Cairo, June to August: 0 days of rain a month."),
        ("Rome or Helsinki in July?", "Warmest, July: Rome (25.2 °C); coolest: Helsinki (18.1)."),
    ],
)
def test_the_insight_is_computed_from_the_data(message: str, insight: str) -> None:
    told: list[tuple[str, dict[str, Any]]] = []
    result = InsightAgent(parse_intent).process_query(message, lambda kind, what: told.append((kind, what)))
    assert [kind for kind, _ in told] == KINDS
    assert result["insight_result"] == {"text": insight}
    assert told[2][1]["text"] == insight


@pytest.mark.parametrize(
    ("intent", "insight"),
    [
        ({"unknown": ["Hamburg"]}, "I have no data on Hamburg; the cities I know are Lisbon, Rome, Paris, Tokyo,"),
        ({"cities": ["Hamburg", "Ulm"]}, "I have no data on Hamburg or Ulm; the cities I know are Lisbon,"),
        (
            {"cities": ["rome", "Hamburg"], "months": ["may", "Maytime"]},
            "Rome, May: 18.3 °C on average. I have no data on",
        ),
    ],
)
def test_a_place_without_data_is_named_and_not_answered_with_others(intent: dict[str, Any], insight: str) -> None:
    """Whether the parser noticed it or, as a model may, took it for a city of the data."""
    result = InsightAgent(lambda _: ClimateIntent(intent_type="PARTICULAR", **intent)).process_query("?")
    assert result["insight_result"]["text"].startswith(insight)
    assert "Warmest" not in result["insight_result"]["text"]


def test_it_works_without_a_callback() -> None:
    result = InsightAgent(lambda _: ClimateIntent(intent_type="UNKNOWN")).process_query("?")
    assert result["insight_result"]["text"].startswith("I know how warm and how wet it is in Lisbon")


def test_the_data_is_complete() -> None:
    assert {city: {*measures} for city, measures in CLIMATE.items()} == {key: {*MEASURES} for key in CLIMATE}
    assert {len(months) for measures in CLIMATE.values() for months in measures.values()} == {len(MONTHS)} == {12}


@pytest.mark.parametrize(
    ("message", "title"), [("\x1d", "A question"), ("x" * 200, f"{'x' * 79}…"), (" Hot? ", "Hot?")]
)
def test_the_question_is_the_plans_title(message: str, title: str) -> None:
    assert insight_chat.plan({"message": message}).title == title


async def test_synchronous_code_reports_from_its_thread(
    harness: EngineHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[threading.Thread] = []
    process_query = InsightAgent.process_query

    def watched(self: InsightAgent, message: str, progress_callback: Any = None) -> dict[str, Any]:
        def heard(kind: str, what: dict[str, Any]) -> None:
            threads.append(threading.current_thread())
            progress_callback(kind, what)

        return process_query(self, message, heard)

    monkeypatch.setattr(InsightAgent, "process_query", watched)
    async with harness.engine(insight_chat) as engine:
        await engine.start("insight_chat", {"message": "How warm is Lisbon in May?"}, "p")
        done = await harness.outcome(engine, "p")
    assert (done.status, done.result["intent_result"]["cities"]) == ("completed", ["Lisbon"])
    assert len(threads) == len(KINDS)
    assert threading.main_thread() not in threads
    events = await harness.events("p")
    shown = [event.data["data"]["type"] for event in events if "payload" in (event.data.get("data") or {})]
    assert shown == KINDS
    assert [event.data["progress"] for event in events if event.type == "step_update" and "progress" in event.data] == [
        30,
        50,
        80,
        95,
    ]
