"""Who knocks, as the server (and the proxies it trusts) saw it; and guests, who come without a session."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from starlette.requests import HTTPConnection

from hub.core.principal import Principal
from hub.transports.door import Admission, Door, Visitor

__all__ = ["guest", "visitor_of"]


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


@contextmanager
def guest(door: Door, visitor: Visitor, principal: Principal, transport: str) -> Iterator[Admission]:
    """Count a client that is known already, for as long as it is here. `Refused` when there is no room."""
    admission = door.receive(visitor, principal)
    door.counts.connections[transport] += 1
    door.counts.connections_total[transport] += 1
    try:
        yield admission
    finally:
        door.counts.connections[transport] -= 1
        door.leave(None, admission)
