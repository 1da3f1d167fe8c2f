"""The public keys of the tokens' issuer: a JWKS, by URL or in a file.

They are read when first needed, and again every ten minutes or when a token names an unknown key (then at most every
thirty seconds, however many such tokens come). While the issuer doesn't answer they are kept, for up to a day.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import urlsplit

import httpx
import jwt
from jwt import PyJWK

from broadcasters.supervision import Supervisor
from hub.config.setting_types import loopback

__all__ = ["Jwks", "KeysUnreadable", "unsafe_source"]

log = logging.getLogger(__name__)

FRESH: Final = 600.0
KEPT: Final = 86_400.0
PAUSE: Final = 30.0
PAUSE_WITHOUT_KEYS: Final = 2.0
DEADLINE: Final = 5.0
MAX_BYTES: Final = 256 * 1024
MAX_KEYS: Final = 100

KINDS: Final = {"RS256": ("RSA", {""}), "ES256": ("EC", {"P-256"}), "EdDSA": ("OKP", {"Ed25519", "Ed448"})}
"""The key type and the curves that each algorithm takes. Other keys of the set are ignored."""


class KeysUnreadable(Exception):
    """The source has no usable keys; the message says why."""


def unsafe_source(source: str) -> str | None:
    """Why keys must not be read from this source, or None."""
    parts = urlsplit(source)
    if parts.scheme == "http" and not loopback(parts.hostname or ""):
        return "keys read over http:// could be replaced on the way; use https:// or a file"
    if parts.scheme not in ("", "file", "http", "https"):
        return f"the source must be https:// or a file; got {parts.scheme}://"
    return None


class Jwks:
    """The keys of one source for one algorithm. Belongs to one event loop; `close` it."""

    def __init__(self, source: str, algorithm: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._source = source
        self._algorithm = algorithm
        self._clock = clock
        self._keys: dict[str | None, PyJWK] = {}
        self._read_at = float("-inf")
        self._tried_at = float("-inf")
        self._supervisor = Supervisor()
        self._reading: asyncio.Task[None] | None = None
        self._client: httpx.AsyncClient | None = None

    def cached_key(self, kid: str | None) -> PyJWK | None:
        """The cached key of that id, or the only key for a token that names none; None when there is none."""
        age = self._clock() - self._read_at
        if age > KEPT:
            return None
        if age > FRESH:
            self._refresh()
        if kid is None:
            return next(iter(self._keys.values())) if len(self._keys) == 1 else None
        return self._keys.get(kid)

    async def key(self, kid: str | None) -> PyJWK | None:
        """The key of that id, read from the source if necessary; None when the source has no such key. Raises
        `KeysUnreadable` when no keys can be read now."""
        if (key := self.cached_key(kid)) is not None:
            return key
        await asyncio.shield(self._refresh())  # other callers wait for the same read
        if self._clock() - self._read_at > KEPT:
            raise KeysUnreadable("the keys that tokens are checked with can't be read now")
        return self.cached_key(kid)

    async def close(self) -> None:
        """Cancel a running read, and close the client."""
        await self._supervisor.close()
        if self._client is not None:
            await self._client.aclose()

    def _refresh(self) -> asyncio.Task[None]:
        """The running read of the source, or a new one."""
        if self._reading is None or self._reading.done():
            self._reading = self._supervisor.run("reading of the issuer's keys", self._read_unless_just_tried())
        return self._reading

    async def _read_unless_just_tried(self) -> None:
        now = self._clock()
        if now - self._tried_at < (PAUSE if self._keys else PAUSE_WITHOUT_KEYS):
            return
        self._tried_at = now
        try:
            self._keys = dict(_usable(await self._read(), self._algorithm))
            self._read_at = self._clock()
        except (KeysUnreadable, OSError, TimeoutError, httpx.HTTPError, httpx.InvalidURL) as error:
            log.warning("the keys of %s can't be read: %s", self._source, str(error) or type(error).__name__)

    async def _read(self) -> bytes:
        if urlsplit(self._source).scheme in ("http", "https"):
            async with asyncio.timeout(DEADLINE):
                return await self._fetch()
        return _bounded(_file(self._source))

    async def _fetch(self) -> bytes:
        if self._client is None:  # kept, because each new one loads all the certificates of the system
            self._client = httpx.AsyncClient(timeout=DEADLINE, follow_redirects=False)
        async with self._client.stream("GET", self._source, headers={"Accept": "application/json"}) as response:
            if response.status_code != 200:
                raise KeysUnreadable(f"the response has status {response.status_code}; expected 200")
            body = bytearray()
            async for chunk in response.aiter_bytes():
                body += chunk
                _bounded(body)
        return bytes(body)


def _file(source: str) -> bytes:
    """The content of a file of keys, up to one byte more than allowed. It is small and local: read without a thread."""
    with Path(source.removeprefix("file://")).expanduser().open("rb") as file:
        return file.read(MAX_BYTES + 1)


def _bounded(body: bytes | bytearray) -> bytes:
    if len(body) > MAX_BYTES:
        raise KeysUnreadable(f"the key set has more than {MAX_BYTES:,} bytes")
    return bytes(body)


def _usable(body: bytes, algorithm: str) -> Iterator[tuple[str | None, PyJWK]]:
    """The keys of the set that the algorithm can use, with their ids; other keys are for other programs."""
    try:
        listed = cast("list[object]", json.loads(body)["keys"])[:MAX_KEYS]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise KeysUnreadable("the source is not a JSON Web Key Set") from None
    found = [(key.key_id, key) for one in listed if (key := _key(one, algorithm)) is not None]
    if not found:
        raise KeysUnreadable(f"the key set has no usable key for {algorithm}")
    yield from found


def _key(listed: object, algorithm: str) -> PyJWK | None:
    if not isinstance(listed, dict):
        return None
    member = cast("dict[str, Any]", listed)
    kind, curves = KINDS[algorithm]
    fits = member.get("kty") == kind and str(member.get("crv", "")) in curves and "d" not in member
    meant = member.get("alg") in (None, algorithm) and member.get("use") in (None, "sig")
    if not fits or not meant or not isinstance(member.get("kid"), str | None):
        return None
    try:
        key = PyJWK(member, algorithm)
    except (jwt.PyJWTError, ValueError, TypeError, KeyError):
        return None
    return None if key.Algorithm.check_key_length(key.key) else key
