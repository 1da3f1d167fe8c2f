"""The templates run on the offline model, and their events violate no rule."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import plan_engine.templates
from plan_engine import UnfitInput, templates_in
from plan_engine.templates import business_operations, data_query, exhibition
from plan_engine.templates.data_query import MAX_QUERIES
from plan_engine.templates.exhibition import STAGES
from tests.plan_engine.event_rules import Event
from tests.plan_engine.harness import EngineHarness, statuses


def test_there_are_six() -> None:
    found = {template.name: template for template in templates_in(plan_engine.templates)}
    assert [*found] == ["business_operations", "data_query", "exhibition", "insight_chat", "team", "trip"]
    assert all(template.about and template.input is not None for template in found.values())


def test_without_the_extra_the_error_names_it(tmp_path: Path) -> None:
    hidden = "import sys; sys.modules['pydantic_ai'] = None; import plan_engine.templates"
    done = subprocess.run([sys.executable, "-c", hidden], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "pip install 'plancast[templates]'" in done.stderr


@pytest.mark.parametrize(
    ("template", "given"),
    [
        (business_operations, {"request": "  "}),
        (data_query, {}),
        (data_query, {"query": ""}),
        (exhibition, {"theme": " "}),
        (exhibition, {"theme": "x" * 2001}),
    ],
)
def test_invalid_input_is_refused(template: Any, given: dict[str, Any]) -> None:
    with pytest.raises(UnfitInput):
        template.fit(given)


def _said(events: list[Event], **fields: Any) -> list[str]:
    """The contents of the messages with these fields, put together from their parts."""
    whole: dict[str, str] = {}
    for event in events:
        if event.type == "agent_message" and all(event.data.get(name) == value for name, value in fields.items()):
            key = event.data.get("message_id", str(event.offset))
            whole[key] = whole.get(key, "") + event.data["content"]
    return [*whole.values()]


def _completed(events: list[Event]) -> list[tuple[str, Any]]:
    """The results of the steps, in the order in which they completed."""
    ends = [event.data for event in events if event.type == "step_update" and event.data["status"] == "completed"]
    return [(end["step_id"], end.get("data")) for end in ends]


def _introduced(events: list[Event]) -> bool:
    first = next(event for event in events if event.type == "agent_message")
    return bool(first.data["data"] == {"model": "offline"})


async def test_business_operations_retries_asks_and_acts(harness: EngineHarness) -> None:
    async with harness.engine(business_operations) as engine:
        for plan_id, answer in (("agreed", "yes"), ("declined", "no")):
            await engine.start("business_operations", {"request": "Sales by region are uneven"}, plan_id)
            await harness.answer(plan_id, await harness.until_asked(plan_id), answer)
        agreed, declined = await harness.outcome(engine, "agreed"), await harness.outcome(engine, "declined")
    events = await harness.events("agreed")
    assert _introduced(events)
    assert statuses(events, "figures").count("retrying") == 1
    assert "North" in _said(events, agent_name="Data Analyst", message_type="result")[0]
    assert {event.data["name"] for event in events if event.type == "artifact"} == {
        "figures.md",
        "proposal.md",
        "letters.md",
    }
    completed = [step_id for step_id, _ in _completed(events)]
    assert {"figures", "customers"} == {*completed[1:3]}  # in parallel, between the brief and the proposal
    assert agreed.result["approved"] is True
    assert agreed.result["by"] == "maria"
    assert agreed.result["proposal"].startswith("# Proposal: Sales by region are uneven")
    assert declined.result["approved"] is False
    assert any("stays a draft" in text for text in _said(await harness.events("declined")))


async def test_an_exhibition_is_planned_in_three_stages(harness: EngineHarness) -> None:
    async with harness.engine(exhibition) as engine:
        for plan_id, theme in (("dreams", "Surrealism and dreams"), ("water", "Water and light")):
            await engine.start("exhibition", {"theme": theme}, plan_id)
        dreams, water = await harness.outcome(engine, "dreams"), await harness.outcome(engine, "water")
    events = await harness.events("dreams")
    assert _introduced(events)
    ends = dict(_completed(events))
    assert [*ends] == [*STAGES]
    assert {*ends["theme_refinement"]} == {
        "exhibition_title",
        "subtitle",
        "curatorial_statement",
        "scholarly_rationale",
    }
    artists, artworks = dreams.result["artists"], dreams.result["artworks"]
    assert [artist["name"] for artist in artists][:2] == ["Salvador Dalí", "René Magritte"]
    assert {*artists[0]} == {"name", "score", "reasoning"}
    assert all(0 <= one["score"] <= 1 for one in [*artists, *artworks])
    assert {work["artist_name"] for work in artworks} <= {artist["name"] for artist in artists}
    assert all(work["iiif_manifest"].startswith("https://") for work in artworks)
    assert water.result["artists"] != artists
    labels = [work["reasoning"] for work in artworks]
    assert len({*labels}) == len(labels) > 3
    assert labels[0].startswith("Masked and burning figures in a desolate landscape")
    overall = [event.data["data"]["overall"] for event in events if "overall" in (event.data.get("data") or {})]
    assert overall == sorted(overall)


async def test_a_theme_that_the_collection_does_not_know_is_called_so(harness: EngineHarness) -> None:
    async with harness.engine(exhibition) as engine:
        await engine.start("exhibition", {"theme": "Quantum computing"}, "p")
        outcome = await harness.outcome(engine, "p")
    assert outcome.result["curatorial_statement"].startswith(
        "The collection records nothing under “Quantum computing”."
    )
    assert {artist["score"] for artist in outcome.result["artists"]} == {0.0}
    assert all(" for contrast: " in artist["reasoning"] for artist in outcome.result["artists"])


SQL_RIGHT_AT_ONCE = "sales last month"
SQL_WRONG_ONCE = "sales by category"
SQL_WRONG_TWICE = "orders by region"


@pytest.mark.parametrize(("query", "retries"), [(SQL_RIGHT_AT_ONCE, 0), (SQL_WRONG_ONCE, 1), (SQL_WRONG_TWICE, 2)])
async def test_a_question_is_answered_from_the_database(query: str, retries: int, harness: EngineHarness) -> None:
    async with harness.engine(data_query) as engine:
        await engine.start("data_query", {"query": query, "user_id": "ada", "conversation_id": "c"}, "p")
        outcome = await harness.outcome(engine, "p")
    assert outcome.status == "completed"
    assert outcome.result["retries"]["sql"] == retries < MAX_QUERIES
    events = await harness.events("p")
    assert _introduced(events)
    assert events[0].data["labels"] == ["data_query:user:ada", "data_query:conversation:ada/c"]
    checked = [e.data["result"] for e in events if e.data.get("tool_name") == "check_sql" and "result" in e.data]
    assert len(checked) == retries + 1
    assert checked[-1] == "no problem"
    texts = [e.data["content"] for e in events if e.type == "step_update" and "overall" in (e.data.get("data") or {})]
    again = [f" (retry {n})" if n else "" for n in range(retries + 1)]
    assert texts[:2] == ["Planning Task...", "Planning Task..."]
    assert texts[2 : 4 + 2 * retries] == [
        f"{text}{n}" for n in again for text in ("Fetching Data...", "Validating Data...")
    ]
    assert texts[-1] == "Finalizing Response..."


def test_fields_that_only_front_ends_set_are_not_in_the_schema() -> None:
    assert {"may_ask", "asking"}.isdisjoint(data_query.input_schema["properties"])
    given = data_query.fit({"query": "Sales by month?", "may_ask": False, "asking": "a1"})
    assert (given["may_ask"], given["asking"]) == (False, "a1")
    with pytest.raises(UnfitInput, match="asking"):
        data_query.fit({"query": "Sales by month?", "asking": "a" * 65})


async def test_an_answer_without_figures_is_rejected(harness: EngineHarness) -> None:
    async with harness.engine(data_query) as engine:
        await engine.start("data_query", {"query": "Which city buys the least?"}, "p")
        outcome = await harness.outcome(engine, "p")
    assert outcome.result["retries"]["interpretation"] == 1
    first, second = _said(await harness.events("p"), agent_name="Data Analyst", message_type="result")
    assert "Edinburgh" not in first
    assert "Edinburgh" in second


async def test_the_sample_questions_have_answers_and_unknown_names_are_named(harness: EngineHarness) -> None:
    async with harness.engine(data_query) as engine:
        await engine.start("data_query", {"query": "Show me my top 5 Instagram posts by engagement"}, "posts")
        await engine.start("data_query", {"query": "sales in Hamburg", "may_ask": False}, "hamburg")
        posts, hamburg = await harness.outcome(engine, "posts"), await harness.outcome(engine, "hamburg")
    assert posts.result["rows"] == 5
    assert "Desk lamp: back in stock" in posts.result["response"]
    assert hamburg.result["response"].startswith("The shop's figures can't be narrowed down to “Hamburg”.")
    assert hamburg.result["sql"] is None


async def test_a_vague_question_is_clarified_where_that_is_possible(harness: EngineHarness) -> None:
    async with harness.engine(data_query) as engine:
        await engine.start("data_query", {"query": "help"}, "asked")
        await harness.answer("asked", await harness.until_asked("asked"), "sales by region")
        await engine.start("data_query", {"query": "help", "may_ask": False}, "unasked")
        asked, unasked = await harness.outcome(engine, "asked"), await harness.outcome(engine, "unasked")
    assert "North" in asked.result["response"]
    assert "I can answer questions about the shop" in unasked.result["response"]
    assert not [event for event in await harness.events("unasked") if event.type == "input_request"]


async def test_another_model_can_play_every_role(harness: EngineHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pydantic AI's own test model: it uses every tool with any arguments, and makes outputs of the right types."""
    monkeypatch.setenv("PLANCAST_MODEL", "test")
    async with harness.engine(business_operations, exhibition) as engine:
        await engine.start("business_operations", {"request": "Sales by region are uneven"}, "p")
        await harness.answer("p", await harness.until_asked("p"), "yes")
        worked = await harness.outcome(engine, "p")
        await engine.start("exhibition", {"theme": "Water"}, "q")
        invented = await harness.outcome(engine, "q")
    events = await harness.events("p")
    assert worked.status == "completed"
    assert next(event for event in events if event.type == "agent_message").data["data"] == {"model": "test"}
    assert "retrying" not in statuses(events, "figures")
    assert {event.data["tool_name"] for event in events if event.type == "tool_call"} >= {"best_customers"}
    assert invented.message == "“Find artists” failed: None of the artists proposed is in the collection"
