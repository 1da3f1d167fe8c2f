"""Whose pages may talk to this hub.

A browser lets any page open a WebSocket anywhere, and CORS middleware does not see WebSockets: so the hub looks at
`Origin` itself, before it accepts. What asks without an origin is no page, or a page of the hub's own; it must then
show something that no foreign page can make a browser send.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

__all__ = ["Origins", "normal_origin"]

PORTS: Final = {"http": 80, "https": 443, "ws": 80, "wss": 443}
_host = re.compile(r"[A-Za-z0-9._-]{1,253}\Z|\[[0-9A-Fa-f:.]{2,45}\]\Z")


def normal_origin(origin: str) -> str | None:
    """`scheme://host[:port]` in lower case without a default port; None when it isn't an origin."""
    if len(origin) > 512:
        return None
    scheme, mark, rest = origin.partition("://")
    scheme = scheme.lower()
    if not mark or not re.fullmatch(r"[a-z][a-z0-9+.-]{0,31}", scheme):
        return None
    host_and_port = _host_and_port(rest, scheme)
    return f"{scheme}://{host_and_port}" if host_and_port else None


def _host_and_port(text: str, scheme: str) -> str | None:
    """`host[:port]`, as origins and Host headers have it, without the port that the scheme implies."""
    bracket = text.rfind("]")
    colon = text.find(":", bracket + 1)
    host, port = (text[:colon], text[colon + 1 :]) if colon >= 0 else (text, "")
    if not _host.match(host) or not re.fullmatch(r"[0-9]{0,5}", port) or (port and not 0 < int(port) < 65536):
        return None
    if not port or int(port) == PORTS.get(scheme):
        return host.lower()
    return f"{host.lower()}:{int(port)}"


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
    name = urlsplit(f"//{host}").hostname if host and _host_and_port(host, "") else None
    if name is None:
        return False
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False
