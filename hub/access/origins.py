"""Whose pages may talk to this hub.

A browser lets any page open a WebSocket anywhere, and CORS middleware does not see WebSockets: so the hub looks at
`Origin` itself, before it accepts. What asks without an origin is no page, or a page of the hub's own; it must then
show something that no foreign page can make a browser send.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from hub.config.setting_types import host_and_port, normal_origin

__all__ = ["Origins"]


@dataclass(frozen=True, slots=True)
class Origins:
    """`allowed`, as `normal_origin` writes them; when empty, the hub's own. `anonymous`: nobody is asked who they are.
    `development`: so it is, and only programs and pages of this machine may come."""

    allowed: frozenset[str] = frozenset()
    anonymous: bool = False
    development: bool = False

    def permit(self, origin: str | None, *, scheme: str, host: str | None, authenticated: bool) -> bool:
        """May this request, or this WebSocket handshake, go on?

        `scheme` (http, https, ws or wss) and `host` (the Host header) are those of the request, as a trusted proxy
        saw it. `authenticated`: it shows an Authorization header or a ticket, which a foreign page can't have. Refuse
        with 403 (a WebSocket: before accepting, or with code 4504 after).
        """
        if self.development and not self._meant_for_us(scheme, host):
            return False
        if origin is None:
            return authenticated or self.anonymous
        normal = normal_origin(origin)
        if normal is None:  # "null" too: a sandboxed frame, a file, a redirect
            return False
        if normal in self.allowed or (self.development and _on_loopback(normal.partition("://")[2])):
            return True
        return not self.allowed and normal == _own(scheme, host)

    def _meant_for_us(self, scheme: str, host: str | None) -> bool:
        """Not a name of the outside world that somebody made to point to this machine (DNS rebinding)."""
        own = _own(scheme, host)
        return own is not None and (_on_loopback(host) or own in self.allowed)


def _own(scheme: str, host: str | None) -> str | None:
    page = {"ws": "http", "wss": "https"}.get(scheme, scheme)
    return normal_origin(f"{page}://{host}") if host else None


def _on_loopback(host: str | None) -> bool:
    """Is this Host header, or this part of an origin, a name of this machine?"""
    name = urlsplit(f"//{host}").hostname if host and host_and_port(host, "") else None
    if name is None:
        return False
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False
