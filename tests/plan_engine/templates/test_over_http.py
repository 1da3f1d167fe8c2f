"""The templates on a model over HTTP, loaded as PLANCAST_MODEL names it: their results, and what its faults look like."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator
from typing import Any

import pytest

import plan_engine.templates
from plan_engine import templates_in
from plan_engine.models import LanguageModel
from tests.plan_engine.event_rules import Event
from tests.plan_engine.harness import EngineHarness
from tests.plan_engine.templates.model_of_scripts import answer_by_script
from tests.servers.model import ModelServer

KEY = "the-right-key"


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[ModelServer]:
    async with ModelServer(answer_by_script, key=KEY) as server:
        monkeypatch.setenv("PLANCAST_MODEL", "openai:any-model")
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        yield server


def _results(events: list[Event], agent: str) -> list[tuple[str, str | None]]:
    """The agent's results, each with the error that broke it off, if any."""
    found: dict[str, tuple[str, str | None]] = {}
    for event in events:
        if event.type == "agent_message" and event.data["agent_name"] == agent:
            text, error = found.get(event.data["message_id"] or str(event.offset), ("", None))
            if event.data["message_type"] == "result":
                found[event.data["message_id"] or str(event.offset)] = (
                    text + event.data["content"],
                    event.data.get("error") or error,
                )
    return [*found.values()]


GIVEN: dict[str, dict[str, Any]] = {
    "business_operations": {"request": "Sales by region are uneven"},
    "data_query": {"query": "sales by category"},
    "exhibition": {"theme": "Surrealism and dreams"},
    "insight_chat": {"message": "Rome or Helsinki in July?"},
    "team": {"request": "Write two pages by 2026-12-24"},
    "trip": {"message": "plan a 3 day trip to Tokyo and Kyoto"},
}


async def _all_results(harness: EngineHarness, model: LanguageModel) -> dict[str, Any]:
    """The results of all templates on this model."""
    async with harness.engine(*templates_in(plan_engine.templates), model=model) as engine:
        for name, given in GIVEN.items():
            await engine.start(name, given, f"{name}@{model.name}")
        for name in ("business_operations", "team"):
            plan_id = f"{name}@{model.name}"
            await harness.answer(plan_id, await harness.until_asked(plan_id), "yes")
        outcomes = {name: await harness.outcome(engine, f"{name}@{model.name}") for name in GIVEN}
    assert {name: outcome.message for name, outcome in outcomes.items() if outcome.status != "completed"} == {}
    return {name: outcome.result for name, outcome in outcomes.items()}


async def test_the_templates_run_on_a_model_over_http(server: ModelServer, harness: EngineHarness) -> None:
    """The server answers as the offline model does, so the results are the same."""
    online = LanguageModel.of(os.environ)
    assert await _all_results(harness, online) == await _all_results(harness, LanguageModel(pace=0))
    assert {request.model for request in server.requests} == {"any-model"}
    assert {request.path for request in server.requests} == {"/v1/chat/completions"}
    for name in GIVEN:
        events = await harness.events(f"{name}@{online.name}")
        introduced = next(event for event in events if event.type == "agent_message")
        assert introduced.data["data"] == {"model": "openai:any-model"}
