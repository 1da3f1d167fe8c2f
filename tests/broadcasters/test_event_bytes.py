"""The byte layout of an encoded event, as it is written and as it is read without parsing: C-EVT-1."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given

from broadcasters.event_bytes import (
    Envelope,
    envelope_of,
    is_type,
    may_append,
    may_name_message,
    sent_at,
    trace_of,
)
from broadcasters.events import EVENTS, AgentMessage, PlanEvent, build
from hub.wire.frames import event_frame, event_prefix
from tests.broadcasters.strategies import events

TRACE = f"00-{'a' * 32}-{'b' * 16}-01"
MOMENT = datetime(2026, 1, 31, 12, 0, 0, 123_000, UTC)


@given(events)
def test_every_event_has_the_layout(event: PlanEvent) -> None:
    assert envelope_of(event.payload("e.1")) == Envelope(event.type, "e.1", None)
    payload = event.payload("e.1", TRACE)
    assert envelope_of(payload) == Envelope(event.type, "e.1", TRACE)
    for encoded in (payload, event_frame(event_prefix("p", "e"), 7, payload)):
        assert [kind for kind in EVENTS if is_type(encoded, kind)] == [event.type]
        assert sent_at(encoded) == datetime.fromisoformat(event.timestamp).timestamp()
        assert trace_of(encoded) == TRACE
    assert trace_of(event.payload("e.1")) is None


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"{}",
        b'{"type":"plan_update","id":"a","data":{',
        b'{"type": "plan_update","id":"a","data":{}}',
        b'{"id":"a","type":"plan_update","data":{}}',
        b'{"type":"plan_update","id":"a b","data":{}}',
        b'{"type":"plan_update","id":"a","data":[]}',
        b'{"type":"plan_update","id":"a","data":{\n}}',
    ],
)
def test_other_bytes_have_no_envelope(payload: bytes) -> None:
    assert envelope_of(payload) is None


def test_content_that_looks_like_the_layout_is_not_taken_for_it() -> None:
    content = f'"timestamp":"2001-01-01T00:00:00Z","trace":"{TRACE}","data":"append":true,"message_id":'
    fields = {"plan_id": "p", "agent_name": "a", "content": content, "timestamp": MOMENT}
    payload = build(AgentMessage, fields).payload("id")
    assert sent_at(payload) == MOMENT.timestamp()
    assert trace_of(payload) is None
    assert not may_append(payload)
    assert not may_name_message(payload)


def test_a_part_of_a_streamed_message_is_recognised() -> None:
    fields = {"plan_id": "p", "agent_name": "a", "content": "x", "message_id": "m"}
    whole, part = build(AgentMessage, fields), build(AgentMessage, {**fields, "append": True})
    assert [may_name_message(event.payload("id")) for event in (whole, part)] == [True, True]
    assert [may_append(event.payload("id")) for event in (whole, part)] == [False, True]


@pytest.mark.parametrize(
    "payload",
    [b"", b"{}", b'{"timestamp":"', b'{"timestamp":"soon"}', b'{"timestamp":"' + b"2" * 99, b'"timestamp":"\xff"'],
)
def test_bytes_without_a_timestamp_have_no_time(payload: bytes) -> None:
    assert sent_at(payload) is None
