"""The fold: its rules one by one (most of them as vectors), and properties of every fold."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from broadcasters.errors import SnapshotUnreadable
from broadcasters.events import (
    PLAN_ENDED,
    STEP_ENDED,
    AgentMessage,
    InputRequest,
    PlanEvent,
    PlanUpdate,
    StepUpdate,
    ToolCall,
    build,
    parse,
)
from broadcasters.fold import fold
from broadcasters.log.contract import Facts, facts_of
from broadcasters.snapshot import Snapshot, State, decode, empty, encode
from broadcasters.snapshot_draft import WEIGHT_LIMIT, text_weight, weight_of
from tests.broadcasters.strategies import PLAN_ID, events, json_values, stories, texts

VECTORS = sorted((Path(__file__).parent.parent / "vectors" / "fold").glob("*.json"))
limits = st.sampled_from([WEIGHT_LIMIT, 3_000, 800, 0])


def told(*said: PlanEvent | None, limit: int = WEIGHT_LIMIT) -> Snapshot:
    return fold(empty(PLAN_ID), 1, said, limit)


def say(cls: type[PlanEvent], **fields: Any) -> PlanEvent:
    return build(cls, {"plan_id": PLAN_ID, **fields})


# --- cases shared with other languages


def cases() -> Iterator[Any]:
    for path in VECTORS:
        for case in json.loads(path.read_text()):
            yield pytest.param(case, id=f"{path.stem}: {case['name']}")


@pytest.mark.parametrize("case", list(cases()))
def test_vectors(case: dict[str, Any]) -> None:
    said = [parse(json.dumps(event).encode()) for event in case["events"]]
    limit = case.get("limit", WEIGHT_LIMIT)
    for cut in range(len(said) + 1):
        before = fold(empty(case["plan_id"]), 1, said[:cut], limit)
        after = fold(decode(encode(before)), cut + 1, said[cut:], limit)
        shown = json.loads(encode(after))
        assert {name: shown.get(name) for name in case["snapshot"]} == case["snapshot"], f"cut at {cut}"


def test_vectors_compare_all_of_a_snapshot_or_only_what_they_are_about() -> None:
    every = {field.alias or name for name, field in Snapshot.model_fields.items()}
    whole = 0
    for case in (case for path in VECTORS for case in json.loads(path.read_text())):
        assert set(case) <= {"name", "why", "plan_id", "limit", "events", "snapshot"}, case["name"]
        assert set(case["snapshot"]) <= every, case["name"]
        whole += {"weight", "omitted", "messages", "steps"} <= set(case["snapshot"])
    assert whole, "no case holds a whole snapshot"


# --- properties of every fold


def same_wherever_it_is_cut(story: list[PlanEvent | None], limit: int, cuts: Iterable[int]) -> None:
    whole = told(*story, limit=limit)
    for cut in cuts:
        before = fold(empty(PLAN_ID), 1, story[:cut], limit)
        assert fold(before, cut + 1, story[cut:], limit) == whole
        assert fold(decode(encode(before)), cut + 1, story[cut:], limit) == whole


@given(stories, limits, st.data())
def test_where_a_fold_is_cut_makes_no_difference(
    story: list[PlanEvent | None], limit: int, data: st.DataObject
) -> None:
    same_wherever_it_is_cut(story, limit, [data.draw(st.integers(0, len(story)))])


@pytest.mark.slow
@settings(max_examples=2_000)
@given(st.lists(st.none() | events, max_size=60), limits)
def test_no_cut_of_any_sequence_makes_a_difference(story: list[PlanEvent | None], limit: int) -> None:
    same_wherever_it_is_cut(story, limit, range(len(story) + 1))


@given(stories, limits)
def test_folding_one_by_one_is_folding_at_once(story: list[PlanEvent | None], limit: int) -> None:
    snapshot = empty(PLAN_ID)
    for offset, event in enumerate(story, 1):
        snapshot = fold(snapshot, offset, [event], limit)
    assert snapshot == told(*story, limit=limit)


@given(stories)
def test_a_snapshot_survives_its_bytes(story: list[PlanEvent | None]) -> None:
    snapshot = told(*story)
    assert decode(encode(snapshot)) == snapshot
    assert b"\n" not in encode(snapshot)


@given(stories, stories)
def test_folding_changes_neither_the_snapshot_nor_the_events(
    story: list[PlanEvent | None], more: list[PlanEvent | None]
) -> None:
    snapshot = told(*story)
    before = encode(snapshot), [event and event.payload("1") for event in more]
    fold(snapshot, len(story) + 1, more)
    assert (encode(snapshot), [event and event.payload("1") for event in more]) == before


@given(stories, st.integers(0, 5))
def test_offsets_a_snapshot_has_are_passed_over(story: list[PlanEvent | None], again: int) -> None:
    snapshot = told(*story)
    again = min(again, len(story))
    assert fold(snapshot, len(story) - again + 1, story[len(story) - again :]) == snapshot


def test_a_gap_is_refused() -> None:
    with pytest.raises(ValueError, match=r"first is 3\b.*offset 0\b"):
        fold(empty(PLAN_ID), 3, [])


@given(stories)
def test_the_snapshot_agrees_with_the_index(story: list[PlanEvent | None]) -> None:
    """The facts in the index (status, title, progress, owner, labels) are the same, batch by batch."""
    shown: dict[str, Any] = {"status": None, "title": None, "progress": None, "owner": None, "labels": ()}
    known = [event for event in story if event is not None]
    for start in range(0, len(known), 3):
        facts = facts_of(known[start : start + 3])
        shown["status"] = facts.status or shown["status"] or facts.first_status
        for name in ("title", "progress", "owner", "labels"):
            value = getattr(facts, name)
            shown[name] = shown[name] if value is None else value
    snapshot = told(*story)
    assert {name: getattr(snapshot, name) for name in shown} == {**shown, "status": shown["status"] or "pending"}
    assert set(shown) <= set(Facts.__dataclass_fields__)


@given(stories, limits)
def test_what_is_always_true_of_a_snapshot(story: list[PlanEvent | None], limit: int) -> None:
    snapshot = told(*story, limit=limit)
    assert snapshot.offset == len(story)
    assert (snapshot.ended_at is not None) == (snapshot.status in PLAN_ENDED)
    if snapshot.status in PLAN_ENDED:
        assert not any(message.streaming for message in snapshot.messages)
    else:
        assert snapshot.result is None
    for parts in (snapshot.steps, snapshot.messages, snapshot.tool_calls, snapshot.inputs, snapshot.artifacts):
        offsets = [part.offset for part in parts]
        assert offsets == sorted(offsets)
    for step in snapshot.steps:
        assert (step.ended_at is not None) == (step.status in STEP_ENDED)
        spans = [step.duration_ms, *(attempt.duration_ms for attempt in step.attempts)]
        assert all(span is None or span >= 0 for span in spans)


# --- the limit of the size


def weighed(snapshot: Snapshot) -> list[State]:
    answered = [request for request in snapshot.inputs if request.answered_at is not None]
    return [*snapshot.messages, *snapshot.tool_calls, *snapshot.artifacts, *answered]


@given(stories, limits)
def test_the_weight_is_that_of_what_may_be_left_out(story: list[PlanEvent | None], limit: int) -> None:
    snapshot = told(*story, limit=limit)
    parts = weighed(snapshot)
    fields = [value for part in parts for _, value in part if value is not None]
    assert snapshot.weight == 2 * len(parts) + sum(20 + weight_of(value) for value in fields)
    assert snapshot.weight <= limit
    assert sum(len(part.model_dump_json(exclude_none=True, by_alias=True)) for part in parts) <= snapshot.weight


@given(json_values)
def test_nothing_encoded_is_longer_than_its_weight(value: Any) -> None:
    assert len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()) <= weight_of(value)


@given(st.lists(texts))
def test_parts_weigh_as_much_as_the_whole(parts: list[str]) -> None:
    assert sum(map(text_weight, parts)) == text_weight("".join(parts))


@given(stories, st.sampled_from([0, 800, 3_000]))
def test_what_is_left_out_is_counted_and_steps_and_questions_stay(story: list[PlanEvent | None], limit: int) -> None:
    small, whole = told(*story, limit=limit), told(*story)
    assert small.steps == whole.steps
    pending = [request for request in whole.inputs if request.answered_at is None]
    assert [request.request_id for request in pending if request not in small.inputs] == []
    for name in ("status", "title", "content", "progress", "owner", "labels", "result", "data"):
        assert getattr(small, name) == getattr(whole, name)
    for name in ("messages", "tool_calls", "artifacts"):
        missing = len(getattr(whole, name)) - len(getattr(small, name))
        assert missing <= getattr(small.omitted, name)


def test_a_long_plan_stays_within_a_mebibyte() -> None:
    said = [say(AgentMessage, agent_name="A", content="€" * 500) for _ in range(1_500)]
    snapshot = told(say(PlanUpdate, title="Long"), *said, say(StepUpdate, step_id="s", status="in_progress"))
    assert WEIGHT_LIMIT // 2 < len(encode(snapshot)) < 1024 * 1024
    assert snapshot.omitted.messages + len(snapshot.messages) == len(said)
    assert snapshot.messages[-1].offset == len(said) + 1
    assert snapshot.steps[0].status == "in_progress"


def test_one_message_that_is_too_long_for_a_snapshot_begins_again() -> None:
    part = say(AgentMessage, agent_name="A", content="x" * 100_000, message_id="m", append=True)
    last = say(AgentMessage, agent_name="A", content="the end", message_id="m", append=True, final=True)
    snapshot = told(*[part] * 8, last)
    assert [message.content for message in snapshot.messages] == ["the end"]
    assert snapshot.omitted.messages == 1


# --- cost


def test_a_plan_of_ten_thousand_events_has_a_small_snapshot() -> None:
    """Two agents stream 40 messages of 200 words each, over 20 steps with their progress, and use 40 tools."""
    story = list(long_plan())
    snapshot = told(*story)
    assert len(story) == 10_000
    assert sum(len(message.content) for message in snapshot.messages) == 40_000
    assert len(encode(snapshot)) <= 64 * 1024


def long_plan() -> Iterator[PlanEvent]:
    yield say(PlanUpdate, title="Quarterly figures", owner="ann")
    for number in range(20):
        step_id = f"step-{number}"
        yield say(StepUpdate, step_id=step_id, status="in_progress", title=f"Step {number}", agent_name="Data Analyst")
        for agent_name in ("Data Analyst", "Business Advisor"):
            call = {"agent_name": agent_name, "call_id": f"{step_id}/{agent_name}", "tool_name": "sql"}
            yield say(ToolCall, **call, phase="started", arguments={"query": "select 1"}, step_id=step_id)
            yield say(ToolCall, **call, phase="completed", result={"rows": [1, 2, 3]})
            message = {"agent_name": agent_name, "message_id": f"m-{step_id}-{agent_name}", "step_id": step_id}
            for word in range(200):
                yield say(AgentMessage, **message, content="word ", append=True, final=word == 199)
        for percent in range(93):
            yield say(StepUpdate, step_id=step_id, status="in_progress", progress=float(percent))
        yield say(StepUpdate, step_id=step_id, status="completed", content="Done")
    yield say(PlanUpdate, progress=99.0)
    yield say(PlanUpdate, status="completed", data={"answer": 42})
    yield from [say(PlanUpdate, status="completed")] * 17


# --- bytes that are not a snapshot


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "damaged"),
        (b"{", "damaged"),
        (b"[]", "damaged"),
        (b"\xff", "damaged"),
        (b'{"plan_id":"p"}' + b"[" * 5_000, "damaged"),
        (b"[" * 100_000, "damaged"),
        (b'{"version":1}', "damaged"),
        (b'{"version":"2","plan_id":"p"}', "damaged"),
        (b'{"version":1,"plan_id":"p","status":"paused"}', "damaged"),
        (b'{"version":2,"plan_id":"p"}', "version 2"),
        (b'{"version":7,"whatever":[]}', "version 7"),
    ],
)
def test_bytes_that_are_no_snapshot(data: bytes, problem: str) -> None:
    with pytest.raises(SnapshotUnreadable, match=problem) as caught:
        decode(data)
    assert caught.value.newer == ("version" in problem)


def test_fields_of_newer_code_are_ignored() -> None:
    newer = b'{"version":1,"plan_id":"p","offset":3,"mood":"fine","steps":[{"step_id":"s","offset":1,"colour":"red"}]}'
    snapshot = decode(newer)
    assert (snapshot.offset, snapshot.steps[0].step_id) == (3, "s")


@given(events)
@example(say(InputRequest, request_id="r", kind="approval", prompt="May I?"))
def test_every_event_begins_a_plan(event: PlanEvent) -> None:
    snapshot = told(event)
    assert snapshot.created_at == snapshot.updated_at == event.timestamp
    said = event.status if isinstance(event, PlanUpdate) and event.step_id is None else "in_progress"
    assert snapshot.status == said
