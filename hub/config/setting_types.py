"""Parsers for the values of settings, and how values are shown to people.

Each parser takes the setting's text. Its `ValueError` has a message that follows the setting's name and a colon.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Mapping
from functools import partial
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any, Final, TypeAlias
from urllib.parse import urlsplit

from hub.config.suggestions import did_you_mean

__all__ = [
    "Parser",
    "Secret",
    "choice",
    "host_and_port",
    "loopback",
    "modules",
    "normal_origin",
    "number",
    "origins",
    "path",
    "placeholder",
    "proxies",
    "secret",
    "size",
    "switch",
    "text",
    "url",
    "whole",
    "without_password",
    "written",
]

Parser: TypeAlias = Callable[[str], Any]

UNITS: Final = {"": 1, "b": 1, "k": 1024, "kib": 1024, "m": 1024**2, "mib": 1024**2, "g": 1024**3, "gib": 1024**3}


class Secret:
    """A secret that is not shown when it is formatted."""

    __slots__ = ("_bytes",)

    def __init__(self, value: bytes) -> None:
        self._bytes = value

    def reveal(self) -> bytes:
        """The bytes of the secret; don't store, log or format them."""
        return self._bytes

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._bytes, other.reveal())

    def __hash__(self) -> int:
        return hash(self._bytes)

    def __repr__(self) -> str:
        return "Secret(…)"


def text(value: str) -> str:
    if not value.isprintable() or not value:
        raise ValueError("expected one line of printable text")
    return value


def url(value: str) -> str:
    """A URL, which its user checks."""
    return text(value)


def path(value: str) -> Path:
    try:
        return Path(text(value)).expanduser()
    except RuntimeError:
        raise ValueError(f"expected a path; the home directory of {_quoted(value)} is unknown") from None


def whole(value: str, *, least: int, most: int) -> int:
    if not re.fullmatch(r"-?[0-9][0-9_]{0,18}", value) or not least <= int(value) <= most:
        raise ValueError(f"expected a whole number from {least:,} to {most:,}; got {_quoted(value)}")
    return int(value)


def number(value: str, *, least: float, most: float) -> float:
    try:
        found = float(value)
    except ValueError:
        found = float("nan")
    if not least <= found <= most:  # nan is not between any two numbers
        raise ValueError(f"expected a number from {least:,g} to {most:,g}; got {_quoted(value)}")
    return found


def size(value: str, *, least: int, most: int) -> int:
    """A number of bytes: 65536, 64k, 64KiB, 1M."""
    match = re.fullmatch(r"([0-9][0-9_]{0,18})\s*([A-Za-z]*)", value)
    unit = UNITS.get(match[2].lower()) if match else None
    if not match or unit is None or not least <= int(match[1]) * unit <= most:
        bounds = f"from {written(least, size=True)} to {written(most, size=True)}"
        raise ValueError(f"expected a size {bounds}, such as 64KiB; got {_quoted(value)}")
    return int(match[1]) * unit


def switch(value: str) -> bool:
    if (word := value.lower()) in ("1", "true", "yes", "on"):
        return True
    if word in ("0", "false", "no", "off"):
        return False
    raise ValueError(f"expected yes or no; got {_quoted(value)}")


def choice(value: str, *, among: tuple[str, ...]) -> str:
    for one in among:
        if one.lower() == value.lower():
            return one
    raise ValueError(f"expected one of {', '.join(among)}; got {_quoted(value)}{did_you_mean(value, among)}")


def secret(value: str) -> Secret:
    """At least 32 bytes. `@/path/to/file` reads them from a file, without a trailing line break."""
    if value.startswith("@"):
        try:
            found = path(value[1:]).read_bytes().rstrip(b"\r\n")
        except OSError as error:
            raise ValueError(f"can't read the file {value[1:]}: {error.strerror}") from None
    else:
        found = value.encode()
    if len(found) < 32:
        problem = f"expected at least 32 bytes, such as from `openssl rand -base64 48`; got {len(found)} bytes"
        raise ValueError(problem)
    return Secret(found)


def origins(value: str) -> tuple[str, ...]:
    found: list[str] = []
    for one in filter(None, (part.strip() for part in value.split(","))):
        origin = normal_origin(one)
        if origin is None:
            expected = "an origin such as https://plans.example.org, without path or wildcard"
            raise ValueError(f"expected {expected}; got {_quoted(one)}")
        found.append(origin)
    return tuple(found)


def proxies(value: str) -> str:
    """Addresses and networks separated by commas, or `*` for all."""
    for one in value.split(",") if value != "*" else ():
        try:
            ip_network(one.strip())
        except ValueError:
            expected = "an address such as 10.0.0.5 or a network such as 10.0.0.0/8"
            raise ValueError(f"expected {expected}; got {_quoted(one.strip())}") from None
    return value


def modules(value: str) -> tuple[str, ...]:
    names = tuple(name for part in value.split(",") if (name := part.strip()))
    for name in names:
        if not all(word.isidentifier() for word in name.split(".")):
            raise ValueError(f"expected names of Python modules; got {_quoted(name)}")
    return names


def loopback(host: str) -> bool:
    """Whether only this machine can reach the address."""
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def without_password(value: str) -> str:
    """The URL with its password masked."""
    value = re.sub(r"([?&]\w*password=)[^&]*", r"\1***", value)
    try:
        parts = urlsplit(value)
        if parts.password is None:
            return value
    except ValueError:
        return value
    user, _, host = parts.netloc.rpartition("@")
    return parts._replace(netloc=f"{user.partition(':')[0]}:***@{host}").geturl()


def placeholder(parse: Parser) -> str | None:
    """What help shows for a value of this parser; None for plain text."""
    if isinstance(parse, partial):
        if parse.func is choice:
            return "|".join(parse.keywords["among"])
        return "SIZE" if parse.func is size else "N"
    return PLACEHOLDERS.get(parse)


def written(value: Any, *, size: bool = False) -> str:
    """A value as it is shown to people."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if size:
        for unit, factor in (("GiB", 1024**3), ("MiB", 1024**2), ("KiB", 1024)):
            if value >= factor and value % factor == 0:
                return f"{value // factor} {unit}"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _quoted(value: str) -> str:
    return repr(value if len(value) <= 40 else value[:39] + "…")


PLACEHOLDERS: Final[Mapping[Parser, str]] = {
    path: "DIRECTORY",
    url: "URL",
    switch: "yes|no",
    secret: "SECRET",
    origins: "ORIGINS",
    proxies: "ADDRESSES",
    modules: "MODULES",
}
PORTS: Final = {"http": 80, "https": 443, "ws": 80, "wss": 443}
_host = re.compile(r"[A-Za-z0-9._-]{1,253}\Z|\[[0-9A-Fa-f:.]{2,45}\]\Z")


def normal_origin(origin: str) -> str | None:
    """`scheme://host[:port]` in lower case without a default port; None if it is not an origin."""
    if len(origin) > 512:
        return None
    scheme, mark, rest = origin.partition("://")
    scheme = scheme.lower()
    if not mark or not re.fullmatch(r"[a-z][a-z0-9+.-]{0,31}", scheme):
        return None
    address = host_and_port(rest, scheme)
    return f"{scheme}://{address}" if address else None


def host_and_port(text: str, scheme: str) -> str | None:
    """`host[:port]`, as in origins and Host headers, without the scheme's default port; None if it is invalid."""
    bracket = text.rfind("]")
    colon = text.find(":", bracket + 1)
    host, port = (text[:colon], text[colon + 1 :]) if colon >= 0 else (text, "")
    if not _host.match(host) or not re.fullmatch(r"[0-9]{0,5}", port) or (port and not 0 < int(port) < 65536):
        return None
    if not port or int(port) == PORTS.get(scheme):
        return host.lower()
    return f"{host.lower()}:{int(port)}"
