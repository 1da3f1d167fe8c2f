"""Which web pages may use this hub.

A browser lets any page open a WebSocket to any host, and CORS middleware does not see WebSockets, so the hub checks
`Origin` itself before it accepts. A request without an origin comes from a program, or from a page of the hub itself; it
must carry something that no other site's page can make a browser send.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from hub.config.setting_types import host_and_port, normal_origin

__all__ = ["Origins"]


@dataclass(frozen=True, slots=True)
class Origins:
    """The rule for requests by their `Origin`."""

    allowed: frozenset[str] = frozenset()
    """As `normal_origin` returns them; when empty, only the hub's own origin."""
    anonymous: bool = False
    """The hub has no authentication."""
    development: bool = False
    """The hub has no authentication and is meant for programs and pages of this machine only."""

    def permit(self, origin: str | None, *, scheme: str, host: str | None, authenticated: bool) -> bool:
        """Whether to accept this request or WebSocket handshake. Refuse with 403; a WebSocket before accepting it, or
        after that with code 4504.

        Args:
            origin: The Origin header.
            scheme: http, https, ws or wss, as a trusted proxy reports it.
            host: The Host header, as a trusted proxy reports it.
            authenticated: The request has an Authorization header or a ticket, which no other site's page can have.
        """
        if self.development and not self._is_local_request(scheme, host):
            return False
        if origin is None:
            return authenticated or self.anonymous
        normal = normal_origin(origin)
        if normal is None:  # "null" as well: a sandboxed frame, a file, a redirect
            return False
        if normal in self.allowed or (self.development and _on_loopback(normal.partition("://")[2])):
            return True
        return not self.allowed and normal == _own(scheme, host)

    def _is_local_request(self, scheme: str, host: str | None) -> bool:
        """Whether the host is a name of this machine, and not a public name that points to it (DNS rebinding)."""
        own = _own(scheme, host)
        return own is not None and (_on_loopback(host) or own in self.allowed)


def _own(scheme: str, host: str | None) -> str | None:
    page = {"ws": "http", "wss": "https"}.get(scheme, scheme)
    return normal_origin(f"{page}://{host}") if host else None


def _on_loopback(host: str | None) -> bool:
    """Whether this Host header, or this part of an origin, is a name of this machine."""
    name = urlsplit(f"//{host}").hostname if host and host_and_port(host, "") else None
    if name is None:
        return False
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False
