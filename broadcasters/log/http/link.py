"""Requests to a hub: its address and token, a small pool of connections, and errors that say who has to act."""

from __future__ import annotations

import asyncio
import json
import os
import ssl
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self, cast
from urllib.parse import parse_qsl, urlsplit

import httpx

from broadcasters.errors import InvalidEvent, LogError, LogFull, LogMisconfigured, LogUnavailable, PlancastError
from broadcasters.log.http.lines import MEDIA_TYPE

__all__ = ["ANSWER_S", "HubLink", "HubRefused", "HubUrl", "error_of"]

AT_ONCE: Final = 8
"""Requests under way. Others wait for their turn here, which costs less than waiting for the pool."""
CONNECTIONS: Final = AT_ONCE + 4
"""Tails have connections of their own."""
KEEP_ALIVE_S: Final = 3.0
"""Less than servers keep an idle connection, so that they don't close one that is about to be used."""
CONNECT_S: Final = 5.0
ANSWER_S: Final = 15.0
"""A hub responds within less, if only with an error."""
DEADLINE_S: Final = 30.0
"""Longest time of a whole response, however slowly its bytes arrive."""
LATER: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Statuses, of a hub or a gateway, after which a retry may succeed."""


@dataclass(frozen=True, slots=True)
class HubUrl:
    """`http://hub:8000` or `https://example.org/plancast`: the address below which `/api` is.

    The token is that of PLANCAST_TOKEN, or of `?token=`; `@/a/file` names a file that holds it, which is read again
    when the hub refuses the token, so that renewing a token means writing the file.
    """

    base: str
    token_source: str | None = None

    @classmethod
    def parse(cls, url: str) -> Self:
        try:
            parts = urlsplit(url)
            _ = parts.port  # raises ValueError for a wrong one
        except ValueError as error:
            raise LogMisconfigured(f"the address of the hub is wrong: {error}") from None
        if parts.username is not None or parts.password is not None:
            raise LogMisconfigured("the address of a hub has no user and password; put a token into PLANCAST_TOKEN")
        if not parts.hostname or parts.fragment:
            raise LogMisconfigured(
                "expected the address of a hub, http://host:port or https://host, with or without path"
            )
        options = dict(parse_qsl(parts.query, keep_blank_values=True))
        source = options.pop("token", None) or os.environ.get("PLANCAST_TOKEN")
        if options:
            raise LogMisconfigured(f"unknown option {', '.join(sorted(options))} in a hub's address; expected token")
        return cls(f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}", source or None)

    def token(self) -> str | None:
        """The current token."""
        source = (self.token_source or "").strip()
        token = _read(Path(source[1:])).strip() if source.startswith("@") else source
        if not token.isascii() or not token.isprintable():
            raise LogMisconfigured("the token for the hub (PLANCAST_TOKEN) must be one line of printable ASCII")
        return token or None


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise LogMisconfigured(f"the token in {path} can't be read: {error}") from None


class HubRefused(Exception):
    """The hub answered a request with an error. `error` is the exception for the caller."""

    def __init__(self, status: int, body: bytes, about: str) -> None:
        problem = _problem(body)
        self.code = _text(problem, "code")
        """The hub's code of the error; empty if another server answered."""
        self.plan_id = _text(problem, "plan_id")
        self.error = error_of(status, problem, about)
        super().__init__(str(self.error))


def error_of(status: int, problem: Mapping[str, Any], about: str) -> PlancastError:
    """The exception for an error of a hub: its status and problem document. `about` names the request."""
    code, detail = _text(problem, "code"), _text(problem, "detail") or _text(problem, "title") or "no reason given"
    text = f"the hub refused {about}: {detail} ({status}{f' {code}' if code else ''})"
    if status == 422 and (field := _text(problem, "field")):
        return InvalidEvent(field, detail.removeprefix(f"{field}: "))
    if status == 507:
        return LogFull(text)
    if code == "log_misconfigured":
        return LogMisconfigured(text)
    if status in LATER:
        return LogUnavailable(text)
    return LogMisconfigured(f"{text}{_advice(status, code)}")


def _advice(status: int, code: str) -> str:
    if 300 <= status < 400:
        return "; the address redirects: use the one it leads to, maybe with https"
    if status == 401:
        return "; set PLANCAST_TOKEN, or ?token=@/a/file in the address"
    if status == 404 and code in ("", "http_404"):
        return "; is this the address of a Plancast hub?"
    return ""


def _problem(body: bytes) -> dict[str, Any]:
    try:
        problem: Any = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return cast("dict[str, Any]", problem) if isinstance(problem, dict) else {}


def _text(problem: Mapping[str, Any], name: str) -> str:
    value = problem.get(name)
    return value if isinstance(value, str) else ""


class HubLink:
    """A pool of connections to one hub, from `open` to `close`. Belongs to one event loop.

    It never repeats a request that may have had an effect: only the caller knows whether that is safe.
    """

    def __init__(self, url: HubUrl) -> None:
        self._url = url
        self._token: str | None = None
        self._client: httpx.AsyncClient | None = None
        self._turns = asyncio.Semaphore(AT_ONCE)

    @property
    def address(self) -> str:
        return self._url.base

    @property
    def opened(self) -> bool:
        return self._client is not None

    def open(self) -> None:
        """Allow requests. The first one connects."""
        self._token = self._url.token()
        limits = httpx.Limits(
            max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS, keepalive_expiry=KEEP_ALIVE_S
        )
        timeout = httpx.Timeout(ANSWER_S, connect=CONNECT_S, pool=ANSWER_S)
        self._client = httpx.AsyncClient(base_url=self._url.base, limits=limits, timeout=timeout, verify=self._trust())

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def request(
        self,
        method: str,
        path: str,
        about: str,
        *,
        params: Mapping[str, str | int] | None = None,
        lines: bytes | None = None,
        json: Any = None,
    ) -> bytes:
        """The body of a successful response. `HubRefused` for an error of the hub, `LogUnavailable` without a response.

        `about` names the request in errors."""
        client = self._open_client()
        headers = {"Content-Type": MEDIA_TYPE} if lines is not None else {}
        try:
            request = client.build_request(method, path, params=params, content=lines, json=json, headers=headers)
            async with asyncio.timeout(DEADLINE_S), self._turns:
                response = await self._send(client, request)
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, TimeoutError) as error:
            raise self._unreachable(error, about) from error
        if response.is_success:
            return response.content
        raise HubRefused(response.status_code, response.content, about)

    @asynccontextmanager
    async def stream(self, path: str, json: Any, about: str, silence_s: float) -> AsyncGenerator[httpx.Response]:
        """A response that goes on until it is silent for `silence_s` seconds. Errors as with `request`."""
        client = self._open_client()
        timeout = httpx.Timeout(ANSWER_S, connect=CONNECT_S, pool=ANSWER_S, read=silence_s)
        try:
            request = client.build_request("POST", path, json=json, timeout=timeout)
            response = await self._send(client, request, stream=True)
            try:
                if not response.is_success:
                    raise HubRefused(response.status_code, await response.aread(), about)
                yield response
            finally:
                await response.aclose()
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
            raise self._unreachable(error, about) from error

    def check_open(self) -> None:
        """Raise `LogUnavailable` unless the link is open."""
        self._open_client()

    def _trust(self) -> ssl.SSLContext:
        """The trusted authorities. None without TLS, since reading a few hundred certificates takes time."""
        if self._url.base.startswith("https:"):
            return httpx.create_ssl_context()
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

    async def _send(self, client: httpx.AsyncClient, request: httpx.Request, *, stream: bool = False) -> httpx.Response:
        self._sign(request)
        response = await client.send(request, stream=stream)
        if response.status_code == 401 and self._renewed():  # the hub did nothing, so repeating it is safe
            await response.aclose()
            self._sign(request)
            response = await client.send(request, stream=stream)
        return response

    def _sign(self, request: httpx.Request) -> None:
        if self._token:
            request.headers["Authorization"] = f"Bearer {self._token}"

    def _renewed(self) -> bool:
        """Read the token again; whether it has changed."""
        before, self._token = self._token, self._url.token()
        return self._token != before

    def _open_client(self) -> httpx.AsyncClient:
        if self._client is None:
            raise LogUnavailable(f"the log at {self.address} is not open")
        return self._client

    def _unreachable(self, error: Exception, about: str) -> LogError:
        why = str(error) or type(error).__name__
        if "CERTIFICATE_VERIFY_FAILED" in why:
            return LogMisconfigured(f"the certificate of the hub at {self.address} is not trusted: {why}")
        return LogUnavailable(f"no answer from the hub at {self.address} to the request for {about}: {why}")
