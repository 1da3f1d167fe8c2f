"""Addresses of hubs, and where a token comes from."""

from __future__ import annotations

from pathlib import Path

import pytest

from broadcasters.errors import LogMisconfigured
from broadcasters.log.http.url import HubUrl


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
def test_what_is_none(url: str, about: str) -> None:
    with pytest.raises(LogMisconfigured, match=about) as caught:
        HubUrl.parse(url)
    assert "secret" not in str(caught.value)


def test_a_token_is_the_variables_or_the_addresss(monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_a_line_break_behind_a_token_is_none_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLANCAST_TOKEN", "of the variable\n")
    assert HubUrl.parse("http://hub").token() == "of the variable"
    monkeypatch.setenv("PLANCAST_TOKEN", "\n")
    assert HubUrl.parse("http://hub").token() is None


@pytest.mark.parametrize("token", ["hunter2\nhunter2", "h\u00fcnter2", "hunter2\0x"])
def test_a_token_that_fits_into_no_header_is_refused_and_not_shown(token: str, tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text(token)
    for url in (HubUrl("http://hub", token), HubUrl("http://hub", f"@{path}")):
        with pytest.raises(LogMisconfigured, match="printable") as caught:
            url.token()
        assert "nter2" not in str(caught.value)
