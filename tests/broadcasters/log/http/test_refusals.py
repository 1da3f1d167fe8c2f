"""Whose fault it was, from what a hub (or something between) answers."""

from __future__ import annotations

import json

import pytest

from broadcasters.errors import InvalidEvent, LogFull, LogMisconfigured, LogUnavailable
from broadcasters.log.http.refusals import Refusal


def body(code: str, detail: str = "for some reason", **more: object) -> bytes:
    return json.dumps({"code": code, "detail": detail, "title": "A problem.", **more}).encode()


@pytest.mark.parametrize(
    ("status", "answer", "kind", "said"),
    [
        (503, body("unavailable"), LogUnavailable, "for some reason"),
        (429, body("too_many_requests"), LogUnavailable, "for some reason"),
        (502, b"<html>Bad gateway</html>", LogUnavailable, "502"),
        (500, body("internal"), LogUnavailable, "for some reason"),
        (500, body("log_misconfigured"), LogMisconfigured, "for some reason"),
        (507, body("log_full"), LogFull, "for some reason"),
        (401, body("invalid_token"), LogMisconfigured, "PLANCAST_TOKEN"),
        (403, body("forbidden"), LogMisconfigured, "forbidden"),
        (404, b"not here", LogMisconfigured, "404"),
        (413, body("too_large"), LogMisconfigured, "for some reason"),
        (302, b"", LogMisconfigured, "302"),
        (308, b"", LogMisconfigured, "308"),
        (422, body("invalid_field", "count: too many", field="count"), InvalidEvent, "count: too many"),
        (422, b"[]", LogMisconfigured, "422"),
    ],
)
def test_an_answer_and_its_error(status: int, answer: bytes, kind: type[Exception], said: str) -> None:
    error = Refusal(status, answer).error("an append to plan-1")
    assert type(error) is kind
    assert said in str(error)
    assert kind is InvalidEvent or "an append to plan-1" in str(error)
