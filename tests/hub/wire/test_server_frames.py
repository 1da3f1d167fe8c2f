"""Frames of the hub besides events: C-FRM-1, C-FRM-3, C-ERR-1."""

from __future__ import annotations

import json

import pytest

from hub.wire.codes import ErrorCode
from hub.wire.server_frames import (
    SERVER_FRAMES,
    Authenticated,
    Connected,
    Error,
    GoingAway,
    InputAccepted,
    Pong,
    ServerFrame,
    SignalAccepted,
    SubscriptionConfirmed,
    SubscriptionEnded,
    UnsubscriptionConfirmed,
    moment,
)

EXAMPLES: list[tuple[ServerFrame, str]] = [
    (
        Connected(connection_id="c", heartbeat_s=25, server_time="2026-01-31T12:00:00.000Z"),
        '{"type":"connected","connection_id":"c","protocol":1,"heartbeat_s":25.0,'
        '"server_time":"2026-01-31T12:00:00.000Z"}',
    ),
    (Authenticated(), '{"type":"authenticated"}'),
    (
        SubscriptionConfirmed(plan_id="p", epoch="e", offset=3, head=5, recovered=False, reason="trimmed"),
        '{"type":"subscription_confirmed","plan_id":"p","epoch":"e","offset":3,"head":5,"recovered":false,'
        '"reason":"trimmed"}',
    ),
    (UnsubscriptionConfirmed(plan_id="p"), '{"type":"unsubscription_confirmed","plan_id":"p"}'),
    (
        SubscriptionEnded(plan_id="p", code=2500, reason="r"),
        '{"type":"subscription_ended","plan_id":"p","code":2500,"reason":"r"}',
    ),
    (
        InputAccepted(plan_id="p", request_id="r", epoch="e", offset=4),
        '{"type":"input_accepted","plan_id":"p","request_id":"r","epoch":"e","offset":4}',
    ),
    (
        SignalAccepted(plan_id="p", signal="cancel"),
        '{"type":"signal_accepted","plan_id":"p","signal":"cancel"}',
    ),
    (Pong(nonce=7), '{"type":"pong","nonce":7}'),
    (GoingAway(reconnect_after_ms=1500), '{"type":"going_away","reconnect_after_ms":1500}'),
    (
        Error.about(ErrorCode.ALREADY_ANSWERED, "too late", "p", "r", by="ann", at="2026-01-31T12:00:00.000Z"),
        '{"type":"error","code":"already_answered","message":"too late","plan_id":"p","request_id":"r","by":"ann",'
        '"at":"2026-01-31T12:00:00.000Z","data":{"plan_id":"p","error":"too late"}}',
    ),
]


@pytest.mark.parametrize(("frame", "text"), EXAMPLES, ids=lambda each: getattr(each, "type", ""))
def test_frames_are_encoded_exactly(frame: ServerFrame, text: str) -> None:
    assert frame.encode().decode() == text


def test_there_is_an_example_of_each_frame() -> None:
    assert [type(frame) for frame, _ in EXAMPLES] == list(SERVER_FRAMES.values())


def test_an_error_about_no_plan_names_none() -> None:
    frame = json.loads(Error.about(ErrorCode.BAD_FRAME, "no").encode())
    assert frame == {"type": "error", "code": "bad_frame", "message": "no", "data": {"error": "no"}}


@pytest.mark.parametrize(
    ("unix", "text"),
    [
        (None, None),
        (0, "1970-01-01T00:00:00.000Z"),
        (1_769_860_800.25, "2026-01-31T12:00:00.250Z"),
        (1e300, "9999-12-31T23:59:59.000Z"),
    ],
)
def test_moments(unix: float | None, text: str | None) -> None:
    assert moment(unix) == text
