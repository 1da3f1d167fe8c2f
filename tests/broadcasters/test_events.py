"""Valid events, invalid ones, and the error that names the field, before anything is sent."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broadcasters.errors import InvalidEvent, InvalidPlanId, PlancastError
from broadcasters.events import (
    EVENTS,
    MAX_EVENT_BYTES,
    InputRequest,
    InputResponse,
    PlanEvent,
    PlanUpdate,
    build,
    check_plan_id,
    parse,
    timestamp,
)
from tests.broadcasters.strategies import EVERY_KIND, events

GOOD: Mapping[str, Mapping[str, Any]] = {
    "plan_update": {},
    "step_update": {"step_id": "s", "status": "in_progress"},
    "agent_message": {"agent_name": "A", "content": "Looking…"},
    "tool_call": {"agent_name": "A", "call_id": "c", "tool_name": "sql", "phase": "started"},
    "input_request": {"request_id": "r", "kind": "approval", "prompt": "May I?"},
    "input_response": {"request_id": "r"},
    "artifact": {"artifact_id": "a", "name": "orders.csv", "mime_type": "text/csv"},
    "worker_update": {"worker_id": "w", "state": "alive"},
}
"""The least that each type of event needs."""

A_DAY = datetime(2026, 1, 31, 12, tzinfo=UTC)


def nested(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(depth - 1):
        value = {"a": value}
    return value


def said(name: str, /, **fields: Any) -> PlanEvent:
    return build(EVENTS[name], {"plan_id": "p", **GOOD[name], **fields})


def data_of(event: PlanEvent) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(event.payload("1"))["data"]
    return data


# --- valid events


@pytest.mark.parametrize("name", EVENTS)
def test_the_smallest_event_of_each_type(name: str) -> None:
    event = said(name, timestamp=A_DAY)
    payload = json.loads(event.payload("some-id"))
    assert (payload["type"], payload["id"]) == (name, "some-id")
    expected = {"plan_id": "p", "timestamp": "2026-01-31T12:00:00.000Z", **GOOD[name]}
    assert {field: payload["data"][field] for field in expected} == expected


def test_the_defaults_are_those_of_the_first_senders() -> None:
    assert data_of(said("plan_update"))["status"] == "in_progress"
    assert data_of(said("agent_message"))["message_type"] == "thinking"


@given(events)
def test_an_event_survives_its_bytes(event: PlanEvent) -> None:
    payload = event.payload("1")
    assert parse(payload) == event
    assert b"\n" not in payload


def test_every_type_is_tried_with_every_field() -> None:
    assert set(EVERY_KIND) == set(EVENTS) == set(GOOD)


@pytest.mark.parametrize("name", EVENTS)
def test_none_counts_as_not_given(name: str) -> None:
    fields = {field.alias or field_name for field_name, field in EVENTS[name].model_fields.items()}
    nothing = dict.fromkeys(fields - set(GOOD[name]) - {"plan_id"})
    assert set(data_of(said(name, **nothing))) == set(data_of(said(name)))


def test_what_is_none_inside_of_data_stays() -> None:
    assert data_of(said("plan_update", data={"a": None, "b": [None]}))["data"] == {"a": None, "b": [None]}


def test_data_becomes_plain_json() -> None:
    data = {"when": A_DAY, "row": (1, 2.5), "view": MappingProxyType({"x": True}), "small": -(2**63), "big": 2**64 - 1}
    plain = data_of(said("plan_update", data=data))["data"]
    assert plain == {**data, "when": "2026-01-31T12:00:00.000Z", "row": [1, 2.5], "view": {"x": True}}


def test_data_is_the_events_own() -> None:
    rows = [1]
    event = build(PlanUpdate, {"plan_id": "p", "data": {"rows": rows}})
    rows.append(2)
    assert event.data == {"rows": [1]}


def test_unknown_fields_are_ignored() -> None:
    assert data_of(said("step_update", colour="red")).keys() == data_of(said("step_update")).keys()
    newer = {"type": "plan_update", "id": "1", "trace": "x", "data": {"plan_id": "p", "mood": float("1e300")}}
    event = parse(json.dumps(newer).encode())
    assert isinstance(event, PlanUpdate)
    assert not hasattr(event, "mood")


def test_a_type_of_newer_code_is_none() -> None:
    assert parse(b'{"type":"mood","id":"1","data":{"plan_id":"p"}}') is None
    assert parse(b'{"type":"mood"}') is None


def test_an_input_request_carries_its_schema_under_that_name() -> None:
    event = build(InputRequest, {"plan_id": "p", **GOOD["input_request"], "schema": {"type": "string"}})
    assert data_of(event)["schema"] == {"type": "string"}
    assert parse(event.payload("1")) == event


def test_an_event_cannot_be_changed() -> None:
    event = said("plan_update")
    with pytest.raises(ValueError, match="frozen"):
        setattr(event, "plan_id", "other")  # noqa: B010 (the type checker knows better than to assign)


# --- invalid ones


TEXT_FIELDS = [("plan_update", "content"), ("step_update", "content"), ("agent_message", "content")]
TEXT_FIELDS += [("agent_message", "error"), ("input_request", "prompt")]
NAMES = [
    (name, field)
    for name, fields in {
        "plan_update": ["step_id", "agent_name", "owner"],
        "step_update": ["step_id", "agent_name"],
        "agent_message": ["agent_name", "step_id", "message_id"],
        "tool_call": ["agent_name", "call_id", "tool_name", "step_id"],
        "input_request": ["request_id", "step_id", "agent_name"],
        "input_response": ["request_id", "by"],
        "artifact": ["artifact_id", "name", "mime_type", "step_id"],
    }.items()
    for field in fields
]
FREE = [
    ("plan_update", "data"),
    ("step_update", "data"),
    ("agent_message", "data"),
    ("tool_call", "arguments"),
    ("tool_call", "result"),
    ("input_request", "options"),
    ("input_request", "schema"),
    ("input_response", "answer"),
    ("artifact", "data"),
]


@pytest.mark.parametrize("bad", ["", "a b", "a/b", "a{b}", "é", "a\n", "\n", "a*", "x" * 129, 5, b"p", ["p"], "\ud800"])
def test_a_bad_plan_id(bad: object) -> None:
    with pytest.raises(InvalidPlanId) as caught:
        build(PlanUpdate, {"plan_id": bad})
    assert caught.value.field == "plan_id"
    with pytest.raises(InvalidPlanId):
        check_plan_id(bad)
    assert len(str(caught.value)) < 200
    str(caught.value).encode()


@pytest.mark.parametrize("plan_id", ["a", "x" * 128, "A-Z.0_9:@~-"])
def test_a_good_plan_id(plan_id: str) -> None:
    assert check_plan_id(plan_id) == plan_id
    assert build(PlanUpdate, {"plan_id": plan_id}).plan_id == plan_id


BAD: list[tuple[str, str, object]] = [
    ("plan_update", "status", "paused"),
    ("plan_update", "status", "stalled"),
    ("plan_update", "status", 1),
    ("step_update", "status", "in progress"),
    ("agent_message", "message_type", "shouting"),
    ("plan_update", "message_type", ""),
    ("tool_call", "phase", "running"),
    ("input_request", "kind", "quiz"),
    ("plan_update", "progress", -0.5),
    ("plan_update", "progress", 100.01),
    ("step_update", "progress", float("nan")),
    ("step_update", "progress", float("inf")),
    ("step_update", "progress", "50"),
    ("step_update", "progress", True),
    ("step_update", "attempt", 0),
    ("step_update", "attempt", 1.5),
    ("step_update", "max_attempts", 1_000_001),
    ("step_update", "attempt", True),
    ("agent_message", "append", "yes"),
    ("agent_message", "final", 1),
    ("agent_message", "content", b"Looking"),
    ("agent_message", "content", 5),
    ("plan_update", "title", "x" * 1025),
    ("artifact", "url", "x" * 8193),
    ("artifact", "name", "x" * 1025),
    ("plan_update", "data", [1]),
    ("plan_update", "data", "text"),
    ("step_update", "data", 5),
    ("input_request", "schema", [1]),
    ("input_request", "options", {"a": 1}),
    ("input_request", "options", list(range(257))),
    ("plan_update", "labels", "q3"),
    ("plan_update", "labels", ["x"] * 17),
    ("step_update", "needs", ["s"] * 257),
    ("plan_update", "timestamp", datetime(2026, 1, 31)),
    ("plan_update", "timestamp", "2026-01-31T12:00:00"),
    ("plan_update", "timestamp", "2026-01-31"),
    ("plan_update", "timestamp", "2026-02-30T12:00:00Z"),
    ("plan_update", "timestamp", "2026-01-31T12:00:60Z"),
    ("plan_update", "timestamp", "0001-01-01T00:00:00+23:59"),
    ("plan_update", "timestamp", "9999-12-31T23:59:59-00:01"),
    ("plan_update", "timestamp", 1135.89),
    ("input_response", "at", "yesterday"),
    ("input_request", "expires_at", datetime(2026, 1, 31)),
]


@pytest.mark.parametrize(("name", "field", "bad"), BAD)
def test_a_bad_value_is_named(name: str, field: str, bad: object) -> None:
    with pytest.raises(InvalidEvent) as caught:
        said(name, **{field: bad})
    assert caught.value.field == field
    assert str(caught.value).startswith(f"{field}: ")
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, PlancastError)


@pytest.mark.parametrize(
    ("name", "field", "place"),
    [("plan_update", "labels", "labels.1"), ("step_update", "needs", "needs.1")],
)
@pytest.mark.parametrize("bad", ["", "x" * 257, 5])
def test_a_bad_element_is_named_with_its_index(name: str, field: str, place: str, bad: object) -> None:
    with pytest.raises(InvalidEvent) as caught:
        said(name, **{field: ["good", bad]})
    assert caught.value.field == place


@pytest.mark.parametrize(("name", "field"), NAMES)
@pytest.mark.parametrize("bad", ["", "x" * 1025, 5, "half \ud83d"])
def test_a_bad_name_is_named(name: str, field: str, bad: object) -> None:
    with pytest.raises(InvalidEvent) as caught:
        said(name, **{field: bad})
    assert caught.value.field == field


@pytest.mark.parametrize(("name", "field"), TEXT_FIELDS)
@pytest.mark.parametrize("bad", ["half \ud83d", "x" * (MAX_EVENT_BYTES + 1)])
def test_a_bad_text_is_named(name: str, field: str, bad: str) -> None:
    with pytest.raises(InvalidEvent) as caught:
        said(name, **{field: bad})
    assert caught.value.field == field


@pytest.mark.parametrize("name", EVENTS)
def test_what_is_missing_is_named(name: str) -> None:
    for field in GOOD[name]:
        fields = {key: value for key, value in GOOD[name].items() if key != field}
        with pytest.raises(InvalidEvent) as caught:
            build(EVENTS[name], {"plan_id": "p", **fields})
        assert caught.value.field == field
    with pytest.raises(InvalidEvent) as caught:
        build(EVENTS[name], GOOD[name])
    assert caught.value.field == "plan_id"


NOT_JSON: list[tuple[object, str]] = [
    (float("nan"), "nan"),
    (float("-inf"), "-inf"),
    (2**64, "64 bits"),
    (-(2**63) - 1, "64 bits"),
    (b"bytes", "bytes"),
    ({1, 2}, "set"),
    (object(), "object"),
    ({1: "a"}, "key 1"),
    (datetime(2026, 1, 31), "time zone"),
    ("half \ud83d", "surrogate"),
    ({"half \ud83d": 1}, "surrogate"),
    (nested(40), "32"),
]


@pytest.mark.parametrize(("name", "field"), FREE)
@pytest.mark.parametrize(("bad", "problem"), NOT_JSON, ids=[problem for _, problem in NOT_JSON])
def test_what_json_can_not_express_is_found_at_any_depth(name: str, field: str, bad: object, problem: str) -> None:
    value = [{"rows": [0, bad]}] if field == "options" else {"rows": [0, bad]}
    with pytest.raises(InvalidEvent, match=problem) as caught:
        said(name, **{field: value})
    assert caught.value.field.split(".")[0] == field
    assert "rows" in str(caught.value)
    str(caught.value).encode()


def test_data_that_contains_itself_is_refused() -> None:
    endless: dict[str, Any] = {}
    endless["again"] = endless
    with pytest.raises(InvalidEvent, match="32") as caught:
        said("plan_update", data=endless)
    assert caught.value.field == "data"


def test_as_deep_as_may_be() -> None:
    assert data_of(said("plan_update", data=nested(32)))["data"] == nested(32)
    with pytest.raises(InvalidEvent):
        said("plan_update", data=nested(33))


# --- size


def test_an_event_of_the_greatest_size_fits_and_one_byte_more_does_not() -> None:
    frame = len(said("agent_message", content="").payload("1"))
    event = said("agent_message", content="x" * (MAX_EVENT_BYTES - frame))
    assert len(event.payload("1")) == MAX_EVENT_BYTES
    with pytest.raises(InvalidEvent, match=r"262,145 .*262,144 .*artifact") as caught:
        event.payload("12")
    assert caught.value.field == "agent_message"


def test_size_is_counted_in_bytes_as_sent() -> None:
    with pytest.raises(InvalidEvent):
        said("agent_message", content="€" * 100_000).payload("1")
    with pytest.raises(InvalidEvent):
        said("agent_message", content="\0" * 50_000).payload("1")
    with pytest.raises(InvalidEvent):
        said("tool_call", result=["x" * 1_000] * 300).payload("1")


# --- times


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (A_DAY, "2026-01-31T12:00:00.000Z"),
        (A_DAY.astimezone(timezone(timedelta(hours=5, minutes=30))), "2026-01-31T12:00:00.000Z"),
        (A_DAY.replace(microsecond=999_999), "2026-01-31T12:00:00.999Z"),
        ("2026-01-31T13:00:00+01:00", "2026-01-31T12:00:00.000Z"),
        ("2026-01-31t12:00:00.5z", "2026-01-31T12:00:00.500Z"),
        ("2026-01-31T12:00:00.123456789Z", "2026-01-31T12:00:00.123Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000Z"),
    ],
)
def test_times_have_one_format(value: datetime | str, expected: str) -> None:
    assert timestamp(value) == expected
    assert timestamp(expected) == expected


def test_without_a_moment_it_is_now() -> None:
    before = timestamp(datetime.now(UTC))
    event = build(InputResponse, {"plan_id": "p", "request_id": "r"})
    assert before <= event.timestamp <= event.at <= timestamp() or before <= event.at <= event.timestamp <= timestamp()


# --- bytes that are not an event


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"null",
        b"[]",
        b"5",
        b'"text"',
        b"{}",
        b'{"type":"plan_update"}',
        b'{"type":"plan_update","data":null}',
        b'{"type":"plan_update","data":[]}',
        b'{"type":["plan_update"],"data":{}}',
        b'{"data":{"plan_id":"p"}}',
        b'{"type":"plan_update","id":"1","data":{"plan_id":"p"}',
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"type":"plan_update","data":{"plan_id":"p","data":{"x":' + b"9" * 5_000 + b"}}}",
    ],
)
def test_bytes_that_are_no_event(payload: bytes) -> None:
    with pytest.raises(InvalidEvent) as caught:
        parse(payload)
    assert caught.value.field == "event"


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ('{"plan_id":"a b"}', "plan_id"),
        ('{"plan_id":"p","status":"paused"}', "status"),
        ('{"plan_id":"p","progress":NaN}', "progress"),
        ('{"plan_id":"p","content":"\\ud83d"}', "content"),
        ('{"plan_id":"p","data":{"x":["\\ud83d"]}}', "data"),
        ('{"plan_id":"p","data":{"x":Infinity}}', "data"),
        ('{"plan_id":"p","data":' + '{"a":' * 40 + "1" + "}" * 40 + "}", "data"),
    ],
)
def test_events_of_others_are_held_to_the_same_rules(data: str, field: str) -> None:
    with pytest.raises(InvalidEvent) as caught:
        parse(b'{"type":"plan_update","id":"1","data":%b}' % data.encode())
    assert caught.value.field == field


@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_parsing_answers_with_an_event_or_an_invalid_event(payload: bytes) -> None:
    try:
        event = parse(payload)
    except InvalidEvent:
        return
    assert event is None or event.type in EVENTS


@given(st.sampled_from(sorted(EVENTS)), st.data())
def test_any_value_in_any_field_is_sent_or_refused_by_name(name: str, data: st.DataObject) -> None:
    """No other exception than `InvalidEvent`, whatever the value; and an event that was built can be sent."""
    anything = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.datetimes(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text() | st.integers(), inner, max_size=3),
        max_leaves=5,
    )
    fields = sorted(field.alias or key for key, field in EVENTS[name].model_fields.items())
    field, value = data.draw(st.sampled_from(fields)), data.draw(anything)
    fault = None
    try:
        event = said(name, **{field: value})
        assert parse(event.payload("1")) == event
    except InvalidEvent as error:
        fault = error.field.split(".")[0]
    assert fault in (None, field)
