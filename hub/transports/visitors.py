"""Who knocks, as the server (and the proxies it trusts) saw it."""

from __future__ import annotations

from starlette.requests import HTTPConnection

from hub.transports.door import Visitor

__all__ = ["visitor_of"]


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
