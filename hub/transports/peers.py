"""The client behind a request: what its headers state, and its address as trusted reverse proxies forwarded it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Any, Final, cast
from urllib.parse import parse_qs

from starlette.requests import HTTPConnection
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware
from uvicorn.protocols.utils import get_remote_addr, is_ssl
from websockets.http11 import Request

__all__ = ["Peer", "Proxies", "authorization_of", "peer_of", "peer_of_handshake", "with_mapped_ipv4"]

SCHEMES: Final = frozenset({"http", "https", "ws", "wss"})


@dataclass(frozen=True, slots=True)
class Peer:
    """The client that makes a request, as the request states it. Nothing in it has been checked."""

    address: str | None
    scheme: str
    host: str | None
    origin: str | None = None
    authorization: str | None = None
    ticket: str | None = None


def with_mapped_ipv4(proxies: str) -> str:
    """Adds to IPv4 addresses and networks their IPv4-mapped IPv6 form, which a dual-stack socket reports."""
    named = [ip_network(one) for part in proxies.split(",") if (one := part.strip()) not in ("", "*")]
    mapped = [f"::ffff:{one.network_address}/{96 + one.prefixlen}" for one in named if one.version == 4]
    return ",".join([proxies, *mapped])


class Proxies:
    """The trusted reverse proxies (PLANCAST_PROXIES). Reads forwarded headers exactly as uvicorn does, for connections
    that bypass uvicorn's own middleware."""

    def __init__(self, trusted: str) -> None:
        self._trusted = ProxyHeadersMiddleware(cast("Any", None), with_mapped_ipv4(trusted)).trusted_hosts

    def trusts(self, address: str | None) -> bool:
        """Whether the address is one of the trusted proxies'."""
        return address in self._trusted

    def client_of(
        self, address: str | None, scheme: str, forwarded_for: Sequence[str], forwarded_proto: Sequence[str]
    ) -> tuple[str | None, str]:
        """Returns the client's address and scheme (ws or wss): those forwarded, if the connection is a proxy's."""
        if not self.trusts(address):
            return address, scheme
        if forwarded_proto and (proto := forwarded_proto[-1].strip()) in SCHEMES:
            scheme = proto.replace("http", "ws")
        if forwarded_for:
            address = self._trusted.get_trusted_client_address(", ".join(forwarded_for))[0] or address
        return address, scheme


def authorization_of(request: HTTPConnection) -> str | None:
    """Returns the Authorization header; or one made of the `X-Api-Key` header, or of the cookie `plancast-token` of a
    page of the hub's own origin, which no other site's page can make a browser send like that."""
    headers = request.headers
    if (authorization := headers.get("authorization")) is not None:
        return authorization
    token = headers.get("x-api-key")
    if token is None and headers.get("sec-fetch-site") == "same-origin":
        token = request.cookies.get("plancast-token")
    return None if token is None else f"Bearer {token}"


def peer_of(request: HTTPConnection) -> Peer:
    """Returns the client behind a request or a WebSocket of Starlette's."""
    headers = request.headers
    return Peer(
        address=request.client.host if request.client else None,
        scheme=request.url.scheme,
        host=headers.get("host"),
        origin=headers.get("origin"),
        authorization=authorization_of(request),
        ticket=request.query_params.get("ticket"),
    )


def peer_of_handshake(handshake: Request, transport: asyncio.Transport, proxies: Proxies) -> Peer:
    """Returns the client behind a WebSocket handshake that did not pass through uvicorn."""
    headers = handshake.headers
    remote = get_remote_addr(transport)
    address, scheme = proxies.client_of(
        remote[0] if remote else None,
        "wss" if is_ssl(transport) else "ws",
        headers.get_all("X-Forwarded-For"),
        headers.get_all("X-Forwarded-Proto"),
    )
    return Peer(
        address=address,
        scheme=scheme,
        host=next(iter(headers.get_all("Host")), None),
        origin=next(iter(headers.get_all("Origin")), None),
        authorization=next(iter(headers.get_all("Authorization")), None),
        ticket=next(iter(parse_qs(handshake.path.partition("?")[2]).get("ticket", ())), None),
    )
