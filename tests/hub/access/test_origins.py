"""Which web pages may use this hub."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.access.origins import Origins
from hub.config.setting_types import normal_origin

HUB = "hub.example.org"
OWN = Origins()
LISTED = Origins(frozenset({"https://app.example.org", "http://lab.example.org:8080"}))
DEVELOPMENT = Origins(anonymous=True, development=True)
INSECURE = Origins(anonymous=True)


@pytest.mark.parametrize(
    ("origins", "origin", "scheme", "host", "permitted"),
    [
        # the hub's own pages, when no list is set
        (OWN, "https://hub.example.org", "https", HUB, True),
        (OWN, "https://hub.example.org", "wss", HUB, True),
        (OWN, "https://hub.example.org:443", "wss", HUB, True),
        (OWN, "https://hub.example.org", "wss", HUB + ":443", True),
        (OWN, "HTTPS://Hub.Example.org", "wss", HUB, True),
        (OWN, "http://hub.example.org:8000", "ws", HUB + ":8000", True),
        (OWN, "http://[::1]:8000", "ws", "[::1]:8000", True),
        (OWN, "http://hub.example.org", "wss", HUB, False),
        (OWN, "https://hub.example.org:8443", "wss", HUB, False),
        (OWN, "https://evil.example.org", "wss", HUB, False),
        (OWN, "https://hub.example.org.evil.org", "wss", HUB, False),
        (OWN, "https://hub.example.org@evil.org", "wss", HUB, False),
        (OWN, "https://hub.example.org", "wss", None, False),
        (OWN, "null", "wss", HUB, False),
        (OWN, "", "wss", HUB, False),
        (OWN, "https://", "wss", "", False),
        (OWN, "https://hub.example.org/", "wss", HUB, False),
        (OWN, "https://hub.example.org https://evil.org", "wss", HUB, False),
        # a list: only those
        (LISTED, "https://app.example.org", "wss", HUB, True),
        (LISTED, "https://APP.example.org:443", "https", HUB, True),
        (LISTED, "http://lab.example.org:8080", "ws", HUB, True),
        (LISTED, "http://app.example.org", "wss", HUB, False),
        (LISTED, "http://lab.example.org", "ws", HUB, False),
        (LISTED, "https://hub.example.org", "wss", HUB, False),
        (LISTED, "https://sub.app.example.org", "wss", HUB, False),
        (LISTED, "null", "wss", HUB, False),
        # development: pages of this machine, on any port
        (DEVELOPMENT, "http://localhost:5173", "ws", "localhost:8000", True),
        (DEVELOPMENT, "http://127.0.0.1:8000", "ws", "127.0.0.1:8000", True),
        (DEVELOPMENT, "http://app.localhost", "ws", "[::1]:8000", True),
        (DEVELOPMENT, "http://evil.example.org", "ws", "localhost:8000", False),
        (DEVELOPMENT, "http://localhost.evil.org", "ws", "localhost:8000", False),
        (DEVELOPMENT, "null", "ws", "localhost:8000", False),
        # a public name that points to this machine
        (DEVELOPMENT, "http://evil.example.org:8000", "ws", "evil.example.org:8000", False),
        (DEVELOPMENT, None, "http", "evil.example.org:8000", False),
        (DEVELOPMENT, None, "http", None, False),
        (DEVELOPMENT, "http://localhost:8000", "ws", "127.0.0.1.evil.org", False),
        (INSECURE, "http://192.168.1.5:8000", "ws", "192.168.1.5:8000", True),
        (INSECURE, "http://evil.example.org", "ws", "192.168.1.5:8000", False),
    ],
)
@pytest.mark.parametrize("authenticated", [True, False])
def test_an_origin_decides_whatever_credentials_there_are(
    origins: Origins, origin: str | None, scheme: str, host: str | None, permitted: bool, authenticated: bool
) -> None:
    assert origins.permit(origin, scheme=scheme, host=host, authenticated=authenticated) is permitted


@pytest.mark.parametrize(
    ("origins", "authenticated", "permitted"),
    [
        (OWN, True, True),
        (OWN, False, False),
        (LISTED, True, True),
        (LISTED, False, False),
        (DEVELOPMENT, False, True),
        (INSECURE, False, True),
    ],
)
def test_without_an_origin_credentials_are_required(origins: Origins, authenticated: bool, permitted: bool) -> None:
    assert origins.permit(None, scheme="https", host="localhost", authenticated=authenticated) is permitted


def test_a_page_elsewhere_can_be_listed_in_development_too() -> None:
    forwarded = Origins(frozenset({"https://box.example.dev"}), anonymous=True, development=True)
    assert forwarded.permit("https://box.example.dev", scheme="https", host="box.example.dev", authenticated=False)
    assert forwarded.permit("https://box.example.dev", scheme="http", host="localhost:8000", authenticated=False)
    assert not forwarded.permit("https://evil.example.dev", scheme="https", host="box.example.dev", authenticated=False)


@pytest.mark.parametrize(
    ("origin", "normal"),
    [
        ("https://a.example", "https://a.example"),
        ("HTTP://A.Example:80", "http://a.example"),
        ("http://a.example:8080", "http://a.example:8080"),
        ("http://a.example:", "http://a.example"),
        ("http://[2001:DB8::1]:443", "http://[2001:db8::1]:443"),
        ("https://a.example:0", None),
        ("https://a.example:65536", None),
        ("https://a.example:4 43", None),
        ("https://*.example", None),
        ("*", None),
        ("a.example", None),
        ("https://a.example/", None),
        ("https://a.example?x", None),
        ("https://a.example\n", None),
        ("https://[::1", None),
        ("https://user@a.example", None),
        ("https://" + "a" * 600, None),
    ],
)
def test_an_origin_is_scheme_host_and_port_and_nothing_else(origin: str, normal: str | None) -> None:
    assert normal_origin(origin) == normal


@given(st.text(max_size=60), st.sampled_from(["http", "https", "ws", "wss"]), st.none() | st.text(max_size=60))
def test_nothing_that_a_client_sends_makes_the_check_fail(origin: str, scheme: str, host: str | None) -> None:
    for origins in (OWN, LISTED, DEVELOPMENT):
        if origins.permit(origin, scheme=scheme, host=host, authenticated=False):
            assert normal_origin(origin) is not None
