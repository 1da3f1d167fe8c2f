"""Frames made from stored bytes agree with the models: C-EVT-1, C-EVT-4, C-EVT-5, C-SNP-1. WebSocket framing."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.uri import parse_uri

from broadcasters.events import (  # fmt: skip
    EVENTS,
    AgentMessage,
    Artifact,
    InputRequest,
    InputResponse,
    PlanEvent,
    PlanUpdate,
    StepUpdate,
    ToolCall,
    WorkerUpdate,
)
from broadcasters.fold import fold
from broadcasters.position import Position
from broadcasters.snapshot import empty, encode
from hub.wire.frames import event_frame, event_of, event_prefix, merged_frame, snapshot_frame, text_frames
from hub.wire.schemas import SnapshotFrame
from hub.wire.schemas import event_frame as event_model

EXAMPLES: list[PlanEvent] = [
    PlanUpdate(plan_id="p", status="completed", title="T", progress=100, owner="o", labels=["l"], data={"a": [1]}),
    StepUpdate(plan_id="p", step_id="s", status="retrying", attempt=2, max_attempts=3, agent_name="A", needs=["r"]),
    AgentMessage(plan_id="p", agent_name="A", content='"quoted", {braced}, ü\u2028', message_id="m", append=True),
    ToolCall(plan_id="p", agent_name="A", call_id="c", tool_name="t", phase="completed", result={"rows": 3}),
    InputRequest(plan_id="p", request_id="r", kind="choice", prompt="?", options=["a", {"b": 1}]),
    InputResponse(plan_id="p", request_id="r", answer={"ok": True}, by="me"),
    Artifact(plan_id="p", artifact_id="a", name="n", mime_type="text/plain", data="x"),
    WorkerUpdate(plan_id="p", worker_id="w", state="begun", name="host:1", lease_s=30.0, obeys=["cancel"]),
]


def test_there_is_an_example_of_each_event() -> None:
    assert [type(event) for event in EXAMPLES] == list(EVENTS.values())


@pytest.mark.parametrize("event", EXAMPLES, ids=lambda event: event.type)
def test_an_event_frame_is_the_event_with_its_position(event: PlanEvent) -> None:
    payload = event.payload("e-1")
    frame = json.loads(event_frame(event_prefix("p", "epoch"), 7, payload))
    assert frame == {**json.loads(payload), "plan_id": "p", "epoch": "epoch", "offset": 7}
    assert list(frame) == ["type", "plan_id", "epoch", "offset", "id", "data"]
    event_model(event.type, type(event)).model_validate(frame)


@pytest.mark.parametrize("event", EXAMPLES, ids=lambda event: event.type)
def test_a_merged_frame_has_first_and_last_offset(event: PlanEvent) -> None:
    payload = event.payload("e-1")
    frame = json.loads(merged_frame(event_prefix("p", "e"), 3, 9, payload))
    assert frame == {**json.loads(payload), "plan_id": "p", "epoch": "e", "offset": 9, "first": 3}
    event_model(event.type, type(event)).model_validate(frame)


def test_a_merged_frame_of_one_event_is_that_event() -> None:
    prefix, payload = event_prefix("p", "e"), EXAMPLES[0].payload("e-1")
    assert merged_frame(prefix, 4, 4, payload) == event_frame(prefix, 4, payload)


def test_everything_an_older_front_end_needs_is_inside_data() -> None:
    frame = json.loads(event_frame(event_prefix("p", "e"), 1, EXAMPLES[2].payload("e-1")))
    assert {"plan_id", "timestamp", "agent_name", "content", "message_type"} <= set(frame["data"])


def test_a_snapshot_frame_carries_the_folded_plan() -> None:
    snapshot = fold(empty("p"), 1, EXAMPLES)
    frame: dict[str, Any] = json.loads(snapshot_frame("p", Position("e", 7), encode(snapshot)))
    assert list(frame) == ["type", "plan_id", "epoch", "offset", "data"]
    assert SnapshotFrame.model_validate_json(json.dumps(frame)).data == snapshot
    assert (frame["type"], frame["epoch"], frame["offset"]) == ("snapshot", "e", 7)


plan_ids = st.from_regex(r"[A-Za-z0-9._:@~-]{1,128}", fullmatch=True)


@given(plan_ids, st.integers(1, 2**53), st.text(st.characters(exclude_categories=["Cs"]), max_size=50))
def test_no_content_breaks_a_frame(plan_id: str, offset: int, content: str) -> None:
    payload = AgentMessage(plan_id=plan_id, agent_name="A", content=content).payload("id,\\n")
    frame = json.loads(event_frame(event_prefix(plan_id, "e"), offset, payload))
    assert (frame["plan_id"], frame["offset"], frame["data"]["content"]) == (plan_id, offset, content)


@pytest.mark.parametrize("event", EXAMPLES, ids=lambda event: event.type)
def test_an_event_comes_back_from_its_frame(event: PlanEvent) -> None:
    assert event_of(event_frame(event_prefix("p", "e"), 7, event.payload("id-1"))) == (7, Position("e", 7), event)
    merged = merged_frame(event_prefix("p", "e"), 5, 7, event.payload("id-1"))
    assert event_of(merged) == (5, Position("e", 7), event)


def test_a_frame_with_an_unknown_type_or_invalid_data_gives_no_event(caplog: pytest.LogCaptureFixture) -> None:
    frame: dict[str, Any] = json.loads(event_frame(event_prefix("p", "e"), 7, EXAMPLES[2].payload("id-1")))
    assert event_of(json.dumps({**frame, "type": "of_tomorrow"}).encode()).event is None
    assert event_of(json.dumps({**frame, "data": {"plan_id": "p"}}).encode()).event is None
    assert "plan p, offset 7" in caplog.text


# --- WebSocket


def received(wire: bytes) -> list[bytes]:
    """The messages that the client of `websockets` reads from these bytes."""
    client = ClientProtocol(parse_uri("ws://localhost/"), state=State.OPEN, max_size=None)
    client.receive_data(wire)
    return [bytes(event.data) for event in client.events_received() if isinstance(event, Frame)]


@pytest.mark.parametrize("length", [0, 1, 125, 126, 127, 65535, 65536, 300_000])
def test_lengths_around_each_limit_of_the_header(length: int) -> None:
    message = b"x" * length
    assert text_frames([message]) == Frame(Opcode.TEXT, message).serialize(mask=False)


def test_many_messages_follow_one_another() -> None:
    messages = [b"a", b"", b"b" * 200, b"c" * 70_000]
    assert text_frames(messages) == b"".join(text_frames([message]) for message in messages)
    assert received(text_frames(messages)) == messages
    assert text_frames([]) == b""
