"""Addresses of hubs, tokens, and the exceptions for errors of a hub or of a server before it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from broadcasters.errors import InvalidEvent, LogFull, LogMisconfigured, LogUnavailable
from broadcasters.log.http.link import HubRefused, HubUrl


@pytest.mark.parametrize(
    ("url", "base"),
    [
        ("http://hub:8000", "http://hub:8000"),
        ("http://hub:8000/", "http://hub:8000"),
        ("https://example.org/plancast/", "https://example.org/plancast"),
        ("http://[::1]:8000", "http://[::1]:8000"),
    ],
)
def test_an_address(url: str, base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PLANCAST_TOKEN", raising=False)
    assert HubUrl.parse(url) == HubUrl(base, None)


@pytest.mark.parametrize(
    ("url", "about"),
    [
        ("http://", "http://host:port"),
        ("http://user:secret@hub", "PLANCAST_TOKEN"),
        ("http://hub:port", "'port'"),
        ("http://hub/#part", "http://host:port"),
        ("http://hub?tocken=x", "tocken"),
    ],
)
def test_an_address_that_is_none(url: str, about: str) -> None:
    with pytest.raises(LogMisconfigured, match=about) as caught:
        HubUrl.parse(url)
    assert "secret" not in str(caught.value)


def test_the_token_of_the_address_comes_before_that_of_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLANCAST_TOKEN", "of the variable")
    assert HubUrl.parse("http://hub").token() == "of the variable"
    assert HubUrl.parse("http://hub?token=mine").token() == "mine"


def test_a_token_in_a_file_is_read_each_time(tmp_path: Path) -> None:
    path = tmp_path / "token"
    url = HubUrl.parse(f"http://hub?token=@{path}")
    with pytest.raises(LogMisconfigured, match="can't be read"):
        url.token()
    for now in ("one", "two"):
        path.write_text(f"{now}\n")
        assert url.token() == now


def test_a_line_break_after_a_token_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLANCAST_TOKEN", "of the variable\n")
    assert HubUrl.parse("http://hub").token() == "of the variable"
    monkeypatch.setenv("PLANCAST_TOKEN", "\n")
    assert HubUrl.parse("http://hub").token() is None


@pytest.mark.parametrize("token", ["hunter2\nhunter2", "h\u00fcnter2", "hunter2\0x"])
def test_a_token_that_is_no_header_value_is_refused_and_not_shown(token: str, tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text(token)
    for url in (HubUrl("http://hub", token), HubUrl("http://hub", f"@{path}")):
        with pytest.raises(LogMisconfigured, match="printable") as caught:
            url.token()
        assert "nter2" not in str(caught.value)


def body(code: str, detail: str = "for some reason", **more: object) -> bytes:
    return json.dumps({"code": code, "detail": detail, "title": "A problem.", **more}).encode()


@pytest.mark.parametrize(
    ("status", "answer", "kind", "words"),
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
def test_an_error_of_the_hub_and_its_exception(status: int, answer: bytes, kind: type[Exception], words: str) -> None:
    error = HubRefused(status, answer, "an append to plan-1").error
    assert type(error) is kind
    assert words in str(error)
    assert kind is InvalidEvent or "an append to plan-1" in str(error)
