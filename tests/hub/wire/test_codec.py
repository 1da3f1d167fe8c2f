"""The codec takes anything and gives a frame or a BadFrame: C-BAD-1 to C-BAD-6, C-FRM-2."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hub.wire.client_frames import (
    CLIENT_FRAMES,
    Authenticate,
    ClientFrame,
    Ping,
    Place,
    PlanInput,
    PlanSignal,
    SubscribePlan,
)
from hub.wire.codec import BadFrame, decode
from hub.wire.codes import ErrorCode


def refused(text: str) -> BadFrame:
    with pytest.raises(BadFrame) as caught:
        decode(text)
    return caught.value


def text(**fields: Any) -> str:
    return json.dumps(fields)


GOOD: dict[str, Any] = {
    "subscribe_plan": {"plan_id": "p"},
    "unsubscribe_plan": {"plan_id": "p"},
    "authenticate": {"token": "t"},
    "plan_input": {"plan_id": "p", "request_id": "r", "answer": None},
    "plan_signal": {"plan_id": "p", "signal": "pause"},
    "ping": {},
}


@pytest.mark.parametrize("kind", CLIENT_FRAMES)
def test_each_frame_is_understood_with_the_least_and_with_more_than_is_known(kind: str) -> None:
    frame = decode(text(type=kind, **GOOD[kind]))
    assert frame == decode(text(type=kind, **GOOD[kind], later={"more": [1]}))
    assert type(frame) is CLIENT_FRAMES[kind]
    assert frame.type == kind


@pytest.mark.parametrize("kind", CLIENT_FRAMES)
def test_each_frame_misses_each_field_that_it_needs(kind: str) -> None:
    for field in GOOD[kind]:
        fields = {name: value for name, value in GOOD[kind].items() if name != field}
        error = refused(text(type=kind, **fields))
        assert error.code is ErrorCode.INVALID_FIELD
        assert error.message.startswith(f"{field}: ")


@pytest.mark.parametrize("since", ["now", "start", "snapshot", None])
def test_since_in_words(since: str | None) -> None:
    frame = decode(text(type="subscribe_plan", plan_id="p", since=since))
    assert isinstance(frame, SubscribePlan)
    assert frame.since == since


def test_since_as_a_place() -> None:
    frame = decode(text(type="subscribe_plan", plan_id="p", since={"epoch": "e", "offset": 7}, request_id="r"))
    assert isinstance(frame, SubscribePlan)
    assert frame.since == Place(epoch="e", offset=7)
    assert frame.request_id == "r"


@pytest.mark.parametrize(
    "since",
    ["", "NOW", 7, True, [], {}, {"epoch": "e"}, {"offset": 1}, {"epoch": 1, "offset": 1}, {"epoch": "e", "offset": -1},
     {"epoch": "e", "offset": 1.0}, {"epoch": "e", "offset": "1"}, {"epoch": "e", "offset": True},
     {"epoch": "e", "offset": 2**53}, {"epoch": "e" * 65, "offset": 1}, {"epoch": 'a"b', "offset": 1}],
)  # fmt: skip
def test_since_that_is_none(since: object) -> None:
    error = refused(text(type="subscribe_plan", plan_id="p", request_id="r", since=since))
    assert (error.code, error.plan_id, error.request_id) == (ErrorCode.INVALID_FIELD, "p", "r")
    assert error.message.startswith("since: ")


@pytest.mark.parametrize(
    "plan_id", ["", " ", "a b", "a/b", "ä", "a\n", "a\x00", "*", "{a}", "a" * 129, "../x", "a\r\nb"]
)
@pytest.mark.parametrize("kind", ["subscribe_plan", "unsubscribe_plan", "plan_input", "plan_signal"])
def test_a_plan_id_that_is_none(kind: str, plan_id: str) -> None:
    error = refused(text(**{"type": kind, **GOOD[kind], "plan_id": plan_id}))
    assert error.code is ErrorCode.INVALID_PLAN_ID
    assert error.plan_id == (plan_id if len(plan_id) <= 128 else None)


@pytest.mark.parametrize("plan_id", ["a", "a" * 128, "A-Z.a_z:0@9~", "~", "-"])
def test_a_plan_id_that_is_one(plan_id: str) -> None:
    assert decode(text(type="subscribe_plan", plan_id=plan_id)) == SubscribePlan(type="subscribe_plan", plan_id=plan_id)


@pytest.mark.parametrize("answer", [None, True, 0, -1, 1.5, "", "yes", [], {"a": [{"b": None}]}, 2**63])
def test_an_answer_may_be_anything(answer: object) -> None:
    frame = decode(text(type="plan_input", plan_id="p", request_id="r", answer=answer))
    assert isinstance(frame, PlanInput)
    assert frame.answer == answer


def test_names_and_nonces_have_bounds() -> None:
    assert decode(text(type="ping", nonce=5)) == Ping(type="ping", nonce=5)
    assert decode(text(type="authenticate", token="t" * 8192)) == Authenticate(type="authenticate", token="t" * 8192)
    for bad in (
        text(type="ping", nonce="n" * 129),
        text(type="ping", nonce=2**53),
        text(type="ping", nonce=[]),
        text(type="authenticate", token="t" * 8193),
        text(type="authenticate", token=""),
        text(type="subscribe_plan", plan_id="p", request_id="r" * 129),
        text(type="plan_input", plan_id="p", request_id="r" * 257, answer=1),
        text(type="plan_input", plan_id="p", request_id="r", answer=1, idempotency_key=""),
        text(type="plan_signal", plan_id="p", signal="stop"),
    ):
        assert refused(bad).code is ErrorCode.INVALID_FIELD


def test_signals() -> None:
    for signal in ("cancel", "pause", "resume"):
        frame = decode(text(type="plan_signal", plan_id="p", signal=signal))
        assert isinstance(frame, PlanSignal)
        assert frame.signal == signal


DEEP = '{"type":"ping","x":' + "[" * 31 + "]" * 31 + "}"

BAD = {
    "": "not JSON",
    "{": "not JSON",
    "nul": "not JSON",
    "{'type':'ping'}": "not JSON",
    '{"type":"ping"} {}': "not JSON",
    '\ufeff{"type":"ping"}': "not JSON",
    '{"type":"pi\nng"}': "not JSON",
    "[]": "a frame must be a JSON object",
    "null": "a frame must be a JSON object",
    '"ping"': "a frame must be a JSON object",
    "17": "a frame must be a JSON object",
    '{"type":"ping","type":"ping"}': "duplicate key",
    '{"type":"ping","x":{"a":1,"a":1}}': "duplicate key",
    '{"type":"ping","nonce":NaN}': "NaN",
    '{"type":"ping","nonce":-Infinity}': "-Infinity",
    '{"type":"ping","x":1e400}': "exceeds the range of a double",
    '{"type":"ping","nonce":' + "9" * 5000 + "}": "exceeds 64 bits",
    '{"type":"ping","nonce":18446744073709551616}': "exceeds 64 bits",
    '{"type":"ping","nonce":-9223372036854775809}': "exceeds 64 bits",
    DEEP.replace("[]", "[[]]"): "nested deeper",
    "[" * 60_000: "nested deeper",
    '{"x":' * 9_000 + "1" + "}" * 9_000: "nested deeper",
    '{"type":"ping","nonce":"\\ud800"}': "surrogate",
    '{"type":"ping","\\uDFFF":1}': "surrogate",
    '{"type":"ping","nonce":"\ud800"}': "surrogate",
}


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: repr(bad[:30]))
def test_what_is_no_frame(bad: str) -> None:
    error = refused(bad)
    assert error.code is ErrorCode.BAD_FRAME
    assert BAD[bad] in error.message


def test_what_is_just_within_bounds() -> None:
    assert decode(DEEP) == Ping(type="ping")
    assert decode(DEEP.removesuffix("}") + ',"y":[[],{}]}') == Ping(type="ping")
    assert decode('{"type":"ping","x":' + json.dumps("[{" * 1000) + "}") == Ping(type="ping")
    assert decode('{"type":"ping","nonce":"\\ud83d\\ude00"}') == Ping(type="ping", nonce="\U0001f600")
    assert decode('{"type":"ping","x":18446744073709551615,"y":-9223372036854775808}') == Ping(type="ping")


def test_an_unknown_type_is_a_fault_of_its_own_and_keeps_its_request() -> None:
    error = refused(text(type="subscribe_all", plan_id="p", request_id="r"))
    assert (error.code, error.plan_id, error.request_id) == (ErrorCode.UNKNOWN_TYPE, "p", "r")
    assert "'subscribe_all'" in error.message
    assert f"'{'x' * 37}...'" in refused(text(type="x" * 10_000)).message
    kinds: list[Any] = [None, 1, [], {}]
    for kind in kinds:
        assert refused(text(type=kind)).code is ErrorCode.INVALID_FIELD
    assert refused("{}").code is ErrorCode.INVALID_FIELD


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["p", "r", "now", "cancel"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
names = ["type", "plan_id", "request_id", "since", "token", "answer", "signal", "nonce", "idempotency_key", "x"]
frames = st.fixed_dictionaries(
    {"type": st.sampled_from([*CLIENT_FRAMES, "other"]) | json_values},
    optional=dict.fromkeys(names[1:], json_values),
).map(json.dumps)


@given(st.text() | frames)
@example("\ud800")
@example('{"type": "ping", "nonce": "\\udc00"}')
def test_whatever_comes_the_answer_is_a_frame_or_a_bad_frame(anything: str) -> None:
    got = decoded(anything)
    if isinstance(got, BadFrame):
        assert got.code.value
        assert len(got.message) < 400
        assert len(got.plan_id or "") <= 128
        assert len(got.request_id or "") <= 256
        f"{got.message}{got.plan_id}{got.request_id}".encode()  # all of it can be sent
    else:
        assert decode(got.model_dump_json()) == got


def decoded(anything: str) -> ClientFrame | BadFrame:
    try:
        return decode(anything)
    except BadFrame as bad:
        return bad
