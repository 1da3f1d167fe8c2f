"""Usage in the protocols that have a place for it: P-AGU-1, P-AGU-2, P-AGU-6, P-AIS-2, and LangChain's `usage_metadata`."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broadcasters.changes import advance
from broadcasters.events import AgentMessage, PlanEvent, PlanUpdate, build
from broadcasters.position import Position
from broadcasters.snapshot import Snapshot, UsageSum, empty
from hub.protocols.ag_ui.encoder import AgUiEncoder
from hub.protocols.ai_sdk.encoder import UiMessageEncoder
from hub.protocols.langgraph.encoder import RunEncoder
from hub.protocols.segments import Advance, Ending, SegmentReader
from tests.broadcasters.strategies import PLAN_ID, events
from tests.hub.protocols.feeds import EPOCH, burst_of, folded, read, snapshot_of

PLAN = "plan-1"


def part(text: str, **fields: Any) -> PlanEvent:
    about = {"plan_id": PLAN, "agent_name": "A", "message_type": "result", "message_id": "m", "append": True}
    return build(AgentMessage, {**about, "content": text, **fields})


STORY = [
    part("one ", usage={"output_tokens": 2}),
    part("two"),
    part("", final=True, usage={"model": "gpt-5", "input_tokens": 30, "output_tokens": 4, "cost": "0.10"}),
    build(PlanUpdate, {"plan_id": PLAN, "status": "completed"}),
]


def advanced() -> tuple[Snapshot, Advance]:
    before = empty(PLAN)
    after, changes = advance(before, [(at, at, event) for at, event in enumerate(STORY, 1)])
    return after, Advance(before=before, after=after, changes=changes, frames=(), epoch="e")


def data_in(stream: bytes) -> list[Any]:
    return [json.loads(line[6:]) for line in stream.splitlines() if line.startswith((b"data: {", b"data: [{"))]


def test_ag_ui_has_it_in_the_state_and_in_the_metadata_of_a_message() -> None:
    _, moved = advanced()
    sent = data_in(b"".join(one.encoded for one in AgUiEncoder("t", "r").encode(moved) or ()))
    [ended] = [event for event in sent if event["type"] == "TEXT_MESSAGE_END"]
    total = {"model": "gpt-5", "input_tokens": 30, "output_tokens": 6, "costs": {"USD": "0.1"}}
    assert ended["metadata"]["plancast"]["usage"] == total
    patches = [patch for event in sent if event["type"] == "STATE_DELTA" for patch in event["delta"]]
    assert [patch["value"] for patch in patches if patch["path"] == "/usage"][-1] == total


def ended(received: bytes) -> dict[str, Any]:
    """The last event of a run."""
    last: dict[str, Any] = data_in(received)[-1]
    assert last["type"] in ("RUN_FINISHED", "RUN_ERROR")
    return last


def test_ag_ui_has_that_of_a_run_at_its_end_by_model() -> None:
    """P-AGU-6"""
    finish = ended(read(AgUiEncoder("t", "r"), STORY))
    assert finish["usage"] == [
        {"outputTokens": 2},
        {"model": "gpt-5", "inputTokens": 30, "outputTokens": 4, "totalTokens": 34},
    ]
    resumed = ended(read(AgUiEncoder("t", "r"), STORY, after=2))
    assert resumed["usage"] == finish["usage"][1:], "what was used before the run is not that of the run"
    assert "usage" not in ended(read(AgUiEncoder("t", "r"), STORY, after=None)), "nothing was used since"


@pytest.mark.parametrize("merged", [False, True])
def test_ag_ui_counts_from_the_head_when_a_run_joins_with_an_older_snapshot(merged: bool) -> None:
    """P-AGU-6"""
    story = [part(str(number), message_id=str(number), usage={"output_tokens": 10**number}) for number in range(5)]
    reader = SegmentReader(PLAN, AgUiEncoder("t", "r"), None)
    received = reader.confirmed(Position(EPOCH, 1), 3, None) + reader.take_snapshot(snapshot_of(story, 1))
    for first, last in [(2, 5)] if merged else [(2, 2), (3, 4), (5, 5)]:
        received += reader.take(burst_of(story, first, last))
    assert ended(received + reader.end(Ending("restart")))["usage"] == [{"outputTokens": 11_000}]


def test_ag_ui_has_that_of_all_agents_of_a_model_together() -> None:
    """P-AGU-6"""
    used = {"model": "m", "input_tokens": 5, "output_tokens": 1, "cached_tokens": 4, "reasoning_tokens": 1}
    story = [part("x", agent_name=name, message_id=name, usage=used) for name in "ABA"]
    failed = build(PlanUpdate, {"plan_id": PLAN, "status": "error", "content": "No"})
    error = ended(read(AgUiEncoder("t", "r"), [*story, failed], after=1))
    both = {"inputTokens": 10, "outputTokens": 2, "totalTokens": 12, "cachedInputTokens": 8, "reasoningTokens": 2}
    assert (error["type"], error["usage"]) == ("RUN_ERROR", [{"model": "m", **both}])


@given(st.lists(events, min_size=1, max_size=12), st.data())
def test_ag_ui_runs_add_up_to_the_usage_of_the_plan(story: list[PlanEvent], data: st.DataObject) -> None:
    """P-AGU-6: each run is cut anywhere, and the next one goes on from there."""
    at, used = 0, Counter[str]()
    while at < len(story):
        reader = SegmentReader(PLAN_ID, AgUiEncoder("t", "r"), at, whole=True)
        upto = data.draw(st.integers(at + 1, len(story)))
        received = reader.confirmed(Position(EPOCH, 0), len(story) + 1, None)
        received += b"".join(reader.take(burst_of(story, offset, offset)) for offset in range(1, upto + 1))
        for one in ended(received + reader.end(Ending("restart"))).get("usage", ()):
            used.update({name: count for name, count in one.items() if name != "model"})
        at = upto
    total = folded(story).usage or UsageSum()
    assert used["inputTokens"] == (total.input_tokens or 0)
    assert used["outputTokens"] == (total.output_tokens or 0)


def test_the_ai_sdk_has_that_of_the_plan_at_the_end_of_its_message() -> None:
    after, moved = advanced()
    closed = UiMessageEncoder().closing(after, Position("e", 4), Ending("stop"))
    [finish] = [chunk for chunk in data_in(closed or b"") if chunk["type"] == "finish"]
    assert finish["messageMetadata"]["plancast"]["usage"]["costs"] == {"USD": "0.1"}
    chunks = data_in(b"".join(one.encoded for one in UiMessageEncoder().encode(moved)))
    plans = [chunk["data"] for chunk in chunks if chunk["type"] == "data-plan"]
    assert plans[-1]["usage"]["output_tokens"] == 6


def test_langgraph_chunks_add_up_to_the_usage_of_the_message() -> None:
    after, moved = advanced()
    encoder = RunEncoder("r", "t", 0, frozenset({"messages", "values"}))
    sent = data_in(b"".join(one.encoded for one in encoder.encode(moved) or ()))
    chunks = [one[0] for one in sent if one.__class__ is list]
    used = [chunk["usage_metadata"] for chunk in chunks if "usage_metadata" in chunk]
    assert [(one["input_tokens"], one["output_tokens"], one["total_tokens"]) for one in used] == [
        (0, 2, 2),
        (30, 4, 34),
    ]
    [values] = [one for one in sent if "messages" in one]
    assert values["messages"][-1]["usage_metadata"]["total_tokens"] == 36
    assert values["messages"][-1]["response_metadata"] == {"model_name": "gpt-5"}
    assert values["plan"]["usage"]["costs"] == {"USD": "0.1"}
    assert after.usage is not None
