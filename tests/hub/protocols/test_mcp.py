"""MCP without a network: progress, forms, and hubs without the package."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from broadcasters.events import PlanEvent, timestamp
from broadcasters.snapshot import InputState
from hub.app import create_app
from hub.config.settings import Settings
from hub.node import Hub
from hub.protocols.mcp import routes
from hub.protocols.mcp.progress import ProgressLines, progress_in
from hub.protocols.mcp.questions import form_of
from hub.protocols.segments import SegmentReader
from tests.broadcasters.strategies import PLAN_ID, events
from tests.hub.protocols.feeds import read, read_in_pieces

stories = st.lists(events, min_size=1, max_size=20)


@given(stories, st.data())
def test_progress_rises_and_reaches_what_was_read(story: Sequence[PlanEvent], data: st.DataObject) -> None:
    """P-MCP-4, however the log reaches the reader; the reader's plan is that of the log."""
    reader = SegmentReader(PLAN_ID, ProgressLines())
    lines = list(progress_in(read_in_pieces(reader, story, data.draw)))
    offsets = [line[0] for line in lines if isinstance(line[0], int)]
    assert offsets == sorted(set(offsets))
    assert max(offsets, default=0) <= reader.position.offset
    assert all(isinstance(line[1], str) for line in lines)


@given(stories)
def test_every_event_with_something_to_show_is_reported_once(story: Sequence[PlanEvent]) -> None:
    offsets = [line[0] for line in progress_in(read(ProgressLines(), story)) if isinstance(line[0], int)]
    assert len(set(offsets)) == len(offsets)


def question(**fields: Any) -> InputState:
    asked = {"request_id": "q", "offset": 1, "at": timestamp(), "kind": "clarification", "prompt": "?", **fields}
    return InputState.model_validate(asked)


@pytest.mark.parametrize(
    ("asked", "fields", "filled_in", "answer"),
    [
        ({"kind": "approval"}, {"answer": {"type": "string", "enum": ["yes", "no"]}}, {"answer": "no"}, "no"),
        (
            {"options": (1, True, "a")},
            {"answer": {"type": "string", "enum": ["1", "true", "a"]}},
            {"answer": "true"},
            True,
        ),
        (
            {"kind": "choice", "options": ({"value": {"n": 1}, "label": "One"}, {"value": 2, "label": "Two"})},
            {"answer": {"type": "string", "enum": ["One", "Two"]}},
            {"answer": "One"},
            {"n": 1},
        ),
        ({}, {"answer": {"type": "string"}}, {"answer": "as it is"}, "as it is"),
        (
            {"json_schema": {"type": "integer", "minimum": 1, "multipleOf": 2}},
            {"answer": {"type": "integer", "minimum": 1}},
            {"answer": 2},
            2,
        ),
        (
            {
                "json_schema": {
                    "type": "object",
                    "properties": {"day": {"type": "string", "format": "date"}, "all": {"type": "boolean"}},
                    "required": ["day"],
                }
            },
            {"day": {"type": "string", "format": "date"}, "all": {"type": "boolean"}},
            {"day": "2026-12-01", "all": None},
            {"day": "2026-12-01"},
        ),
    ],
)
def test_questions_as_forms(
    asked: dict[str, Any], fields: dict[str, Any], filled_in: dict[str, Any], answer: Any
) -> None:
    """P-MCP-5"""
    form = form_of(question(**asked))
    assert form is not None
    assert form.schema["properties"] == fields
    assert form.answer(filled_in) == answer


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "array", "items": {"type": "string"}},
        {"type": "object"},
        {"type": "object", "properties": {"a": {"type": "object"}}},
        {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": ["string", "null"]}}},
        {"type": "object", "properties": {"a": True}},
        {"enum": ["a"]},
        {"type": "string", "enum": [1]},
    ],
)
def test_questions_without_a_form(schema: dict[str, Any]) -> None:
    assert form_of(question(json_schema=schema)) is None


def test_options_that_read_alike_have_no_form() -> None:
    assert form_of(question(options=(1, "1"))) is None


def missing(_: str) -> None:
    """No package is found."""


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[Hub]:
    async with Hub(Settings(log=f"sqlite:///{tmp_path}/plans.db")) as hub:
        yield hub


async def test_a_hub_without_the_package_starts_and_says_what_is_missing(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """P-MCP-1"""
    assert find_spec("mcp") is not None
    monkeypatch.setattr(routes, "find_spec", missing)
    transport = httpx.ASGITransport(create_app(hub), client=("127.0.0.1", 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        for method in ("POST", "DELETE"):
            refused = await client.request(method, "/mcp", json={"jsonrpc": "2.0", "id": 1, "method": "ping"})
            assert refused.status_code == 501
            assert "pip install 'plancast[mcp]'" in refused.json()["error"]["message"]
        assert (await client.get("/healthz")).status_code == 200
