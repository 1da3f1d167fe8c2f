"""Proxies are trusted in both spellings of their addresses, IPv4 and IPv4-mapped IPv6."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from hub.transports.peers import Proxies
from tests.servers.hub import HubServer

FORWARDED = {"X-Forwarded-For": "203.0.113.7", "X-Forwarded-Proto": "https"}


@pytest.mark.parametrize(
    ("trusted", "address", "trusts"),
    [
        ("127.0.0.1", "127.0.0.1", True),
        ("127.0.0.1", "::ffff:127.0.0.1", True),
        ("127.0.0.1", "::ffff:127.0.0.2", False),
        ("10.0.0.0/8, 2001:db8::1", "10.1.2.3", True),
        ("10.0.0.0/8, 2001:db8::1", "::ffff:10.1.2.3", True),
        ("10.0.0.0/8, 2001:db8::1", "::ffff:11.1.2.3", False),
        ("10.0.0.0/8, 2001:db8::1", "2001:db8::1", True),
        ("*", "::ffff:11.1.2.3", True),
    ],
)
def test_an_ipv4_address_is_trusted_in_its_ipv6_form_too(trusted: str, address: str, trusts: bool) -> None:
    seen = Proxies(trusted).client_of(address, "ws", ["203.0.113.7"], ["https"])
    assert seen == (("203.0.113.7", "wss") if trusts else (address, "ws"))


async def test_a_proxy_is_trusted_by_a_dual_stack_hub(tmp_path: Path) -> None:
    log = f"sqlite:///{tmp_path / 'plans.db'}"
    async with HubServer(log, host="::", insecure=True) as hub, httpx.AsyncClient(base_url=hub.url) as client:
        page = {"Host": "plans.example", "Origin": "https://plans.example"}
        assert (await client.get("/api/plans", headers={**page, **FORWARDED})).status_code == 200
        assert (await client.get("/api/plans", headers=page)).status_code == 403
