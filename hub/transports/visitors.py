"""Who knocks, as the server (and the proxies it trusts) saw it; and guests, who come without a session."""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from ipaddress import ip_network
from typing import Any, Final, cast
from urllib.parse import parse_qs

from starlette.requests import HTTPConnection
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware
from uvicorn.protocols.utils import get_remote_addr, is_ssl
from websockets.http11 import Request

from hub.access.principal import Principal
from hub.transports.admission import Admission, Door, Visitor

__all__ = ["Proxies", "guest", "in_both_spellings", "visitor_behind", "visitor_of"]

SCHEMES: Final = frozenset({"http", "https", "ws", "wss"})


def in_both_spellings(proxies: str) -> str:
    """These addresses and networks, and those of IPv4 once more as a socket shows them that listens for IPv6 as well."""
    named = [ip_network(one) for part in proxies.split(",") if (one := part.strip()) not in ("", "*")]
    mapped = [f"::ffff:{one.network_address}/{96 + one.prefixlen}" for one in named if one.version == 4]
    return ",".join([proxies, *mapped])


class Proxies:
    """The reverse proxies that are believed (PLANCAST_PROXIES), for whoever gets no request from uvicorn, which reads
    the same headers in the same way."""

    def __init__(self, trusted: str) -> None:
        self._trusted = ProxyHeadersMiddleware(cast("Any", None), in_both_spellings(trusted)).trusted_hosts

    def believed(self, address: str | None) -> bool:
        """Is that one of them?"""
        return address in self._trusted

    def seen(
        self, address: str | None, scheme: str, forwarded_for: Sequence[str], forwarded_proto: Sequence[str]
    ) -> tuple[str | None, str]:
        """Address and scheme (ws or wss) of the client, as the proxy in front of us saw them if it is one."""
        if not self.believed(address):
            return address, scheme
        if forwarded_proto and (proto := forwarded_proto[-1].strip()) in SCHEMES:
            scheme = proto.replace("http", "ws")
        if forwarded_for:
            address = self._trusted.get_trusted_client_address(", ".join(forwarded_for))[0] or address
        return address, scheme


def visitor_of(asking: HTTPConnection) -> Visitor:
    """The visitor behind a request or a WebSocket."""
    headers = asking.headers
    return Visitor(
        address=asking.client.host if asking.client else None,
        scheme=asking.url.scheme,
        host=headers.get("host"),
        origin=headers.get("origin"),
        authorization=headers.get("authorization"),
        ticket=asking.query_params.get("ticket"),
    )


def visitor_behind(handshake: Request, transport: asyncio.Transport, proxies: Proxies) -> Visitor:
    """The visitor behind a WebSocket's handshake that nobody but us has read."""
    headers = handshake.headers
    peer = get_remote_addr(transport)
    address, scheme = proxies.seen(
        peer[0] if peer else None,
        "wss" if is_ssl(transport) else "ws",
        headers.get_all("X-Forwarded-For"),
        headers.get_all("X-Forwarded-Proto"),
    )
    return Visitor(
        address=address,
        scheme=scheme,
        host=next(iter(headers.get_all("Host")), None),
        origin=next(iter(headers.get_all("Origin")), None),
        authorization=next(iter(headers.get_all("Authorization")), None),
        ticket=next(iter(parse_qs(handshake.path.partition("?")[2]).get("ticket", ())), None),
    )


@contextmanager
def guest(door: Door, visitor: Visitor, principal: Principal, transport: str) -> Generator[Admission]:
    """Count a client that is known already, for as long as it is here. `Refused` when there is no room."""
    admission = door.receive(visitor, principal)
    door.counts.connections[transport] += 1
    door.counts.connections_total[transport] += 1
    try:
        yield admission
    finally:
        door.counts.connections[transport] -= 1
        door.leave(None, admission)
