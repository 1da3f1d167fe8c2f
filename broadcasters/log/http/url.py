"""What the address of a hub says."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import parse_qsl, urlsplit

from broadcasters.errors import LogMisconfigured

__all__ = ["HubUrl"]


@dataclass(frozen=True, slots=True)
class HubUrl:
    """`http://hub:8000`, `https://example.org/plancast`: the place below which `/api` is.

    A token, where the hub wants one, is in the variable PLANCAST_TOKEN, or named by `?token=`; `@/a/file` is the file
    that holds it, read again when the hub refuses what it held before: whoever renews tokens only writes the file.
    """

    base: str
    token_source: str | None = None

    @classmethod
    def parse(cls, url: str) -> Self:
        try:
            parts = urlsplit(url)
            _ = parts.port  # raises for what is none
        except ValueError as error:
            raise LogMisconfigured(f"this is no address of a hub: {error}") from None
        if parts.username is not None or parts.password is not None:
            raise LogMisconfigured("an address of a hub has no user and password; put a token into PLANCAST_TOKEN")
        if not parts.hostname or parts.fragment:
            raise LogMisconfigured("an address of a hub is http://host:port or https://host, with a path if need be")
        options = dict(parse_qsl(parts.query, keep_blank_values=True))
        source = options.pop("token", None) or os.environ.get("PLANCAST_TOKEN")
        if options:
            raise LogMisconfigured(f"a hub's address has no option {', '.join(sorted(options))}; there is `token`")
        return cls(f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}", source or None)

    def token(self) -> str | None:
        """The token, as it is now."""
        source = (self.token_source or "").strip()
        token = _read(Path(source[1:])).strip() if source.startswith("@") else source
        if not token.isascii() or not token.isprintable():
            raise LogMisconfigured("the token for the hub (PLANCAST_TOKEN) is not one line of printable ASCII")
        return token or None


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise LogMisconfigured(f"the token in {path} can't be read: {error}") from None
