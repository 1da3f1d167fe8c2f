"""Requests to a hub: one small pool of connections, bounded in time, and errors that say whose fault it was."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import httpx

from broadcasters.errors import LogError, LogMisconfigured, LogUnavailable
from broadcasters.log.http.lines import MEDIA_TYPE
from broadcasters.log.http.refusals import Refusal
from broadcasters.log.http.url import HubUrl

__all__ = ["ANSWER_S", "Link", "Refused"]

AT_ONCE: Final = 8
"""Requests under way. The others wait here in line, which costs less than a crowd before the pool."""
CONNECTIONS: Final = AT_ONCE + 4
"""Tails have theirs."""
KEEP_ALIVE_S: Final = 3.0
"""Less than servers keep an idle connection, so that they don't close it just when it is used."""
CONNECT_S: Final = 5.0
ANSWER_S: Final = 15.0
"""A hub answers, if only that it can't, in less."""
DEADLINE_S: Final = 30.0
"""However slowly bytes trickle."""


class Refused(Exception):
    """The hub answered, but not as wished."""

    def __init__(self, refusal: Refusal, about: str) -> None:
        super().__init__(about)
        self.refusal = refusal
        self.about = about


class Link:
    """Open from `open` to `close`. Belongs to one event loop. Nothing is ever sent twice here: the caller knows
    whether that is right."""

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
        """No connection is made yet."""
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

    async def ask(
        self,
        method: str,
        path: str,
        about: str,
        *,
        params: Mapping[str, str | int] | None = None,
        lines: bytes | None = None,
        json: Any = None,
    ) -> bytes:
        """The body of a good answer; `Refused` with any other; `LogUnavailable` when there was none."""
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
        raise Refused(Refusal(response.status_code, response.content), about)

    @asynccontextmanager
    async def stream(self, path: str, json: Any, about: str, silence_s: float) -> AsyncGenerator[httpx.Response]:
        """An answer that goes on; silence for longer than `silence_s` breaks it. Errors as with `ask`."""
        client = self._open_client()
        timeout = httpx.Timeout(ANSWER_S, connect=CONNECT_S, pool=ANSWER_S, read=silence_s)
        try:
            request = client.build_request("POST", path, json=json, timeout=timeout)
            response = await self._send(client, request, stream=True)
            try:
                if not response.is_success:
                    raise Refused(Refusal(response.status_code, await response.aread()), about)
                yield response
            finally:
                await response.aclose()
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
            raise self._unreachable(error, about) from error

    def _trust(self) -> ssl.SSLContext:
        """Whom to believe over TLS. Without TLS nobody, which spares an agent the reading of a few hundred names."""
        if self._url.base.startswith("https:"):
            return httpx.create_ssl_context()
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

    async def _send(self, client: httpx.AsyncClient, request: httpx.Request, *, stream: bool = False) -> httpx.Response:
        self._sign(request)
        response = await client.send(request, stream=stream)
        if response.status_code == 401 and self._renewed():  # refused, so nothing was done
            await response.aclose()
            self._sign(request)
            response = await client.send(request, stream=stream)
        return response

    def _sign(self, request: httpx.Request) -> None:
        if self._token:
            request.headers["Authorization"] = f"Bearer {self._token}"

    def _renewed(self) -> bool:
        """Whether there is another token by now."""
        before, self._token = self._token, self._url.token()
        return self._token != before

    def check_open(self) -> None:
        """`LogUnavailable` when it isn't."""
        self._open_client()

    def _open_client(self) -> httpx.AsyncClient:
        if self._client is None:
            raise LogUnavailable(f"the log at {self.address} is not open")
        return self._client

    def _unreachable(self, error: Exception, about: str) -> LogError:
        why = str(error) or type(error).__name__
        if "CERTIFICATE_VERIFY_FAILED" in why:
            return LogMisconfigured(f"the certificate of the hub at {self.address} is not trusted: {why}")
        return LogUnavailable(f"no answer from the hub at {self.address} to {about}: {why}")
