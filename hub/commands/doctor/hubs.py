"""Checks of a hub at an address: that it answers and is ready, its clock, the token, and what a proxy in front lets pass."""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlsplit

import httpx

from broadcasters.log.http.link import HubUrl
from hub.commands.doctor.finding import Check, Finding, clock_finding
from hub.commands.doctor.socket import ProbeSocket, SocketClosed, UpgradeRefused
from hub.commands.doctor.tokens import plan_to_read, token_finding
from hub.config.setting_types import loopback
from hub.wire.codes import CloseCode

__all__ = ["checks_of_hub", "is_hub"]

ANSWER_S: Final = 6.0
AT_ONCE_S: Final = 3.0
"""A hub sends the first bytes of a socket or a stream at once; a proxy that has not passed them on by now buffers."""
BEAT_S: Final = 10.0
"""How late the first ping of a quiet connection may be."""
QUIET_S: Final = 60.0

NO_TOKEN: Final = (CloseCode.UNAUTHENTICATED, CloseCode.TOKEN_EXPIRED)
NGINX_UPGRADE: Final = """\
proxy_http_version 1.1;
proxy_set_header Upgrade $http_upgrade;
proxy_set_header Connection "upgrade";"""
NGINX_BUFFERING: Final = "proxy_buffering off;"
NGINX_IDLE: Final = "proxy_read_timeout 180s;"


def checks_of_hub(url: HubUrl, *, idle: bool = False) -> list[Check]:
    """The checks of the hub at this address.

    Args:
        url: The address, with the source of the token.
        idle: Also keep a quiet connection open until its first ping, which takes half a minute.
    """
    at = _HubAt(url)
    later = {"ready": at.ready, "token": at.token, "websocket": at.websocket, "streams": at.streams, "page": at.page}
    checks = [Check("reachable", at.reachable()), *(Check(name, at.then(name, check)) for name, check in later.items())]
    return [*checks, Check("idle", at.then("idle", at.idle), QUIET_S)] if idle else checks


async def is_hub(base: str) -> bool:
    """Whether a hub answers at this address."""
    try:
        async with httpx.AsyncClient(timeout=AT_ONCE_S, verify=_trust(base)) as client:
            return _is_healthy(await client.get(f"{base}/healthz"))
    except httpx.HTTPError:
        return False


class _HubAt:
    """A hub at an address, which may be that of a proxy."""

    def __init__(self, url: HubUrl) -> None:
        self._base = url.base
        self._url = url
        self._reached: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    async def then(self, name: str, check: Callable[[], Awaitable[Sequence[Finding]]]) -> Sequence[Finding]:
        """Run a check if the hub can be reached; otherwise it would only fail for the same reason."""
        if not await asyncio.shield(self._reached):
            return []
        try:
            return await check()
        except httpx.HTTPError as error:
            return [Finding(name, "failed", f"no answer: {_reason(error)}", f"curl -i {self._base}/healthz")]

    async def reachable(self) -> Sequence[Finding]:
        findings: Sequence[Finding] = ()
        try:
            findings = await self._health()
        finally:
            self._reached.set_result(bool(findings) and findings[0].status == "ok")
        return findings

    async def _health(self) -> Sequence[Finding]:
        began, started = time.time(), time.perf_counter()
        try:
            async with self._client() as client:
                answer = await client.get("/healthz")
        except httpx.HTTPError as error:
            return [Finding("reachable", "failed", f"no answer: {_reason(error)}", self._fix_of(error))]
        took = time.perf_counter() - started
        if not _is_healthy(answer):
            found = f"what answers is not a hub, or refuses this address: {_brief(answer)}"
            return [Finding("reachable", "failed", found, f"curl -i {self._base}/healthz")]
        findings = [Finding("reachable", "ok", f"answers in {took * 1000:.0f} ms"), *self._transport()]
        if date := answer.headers.get("date"):
            ahead = parsedate_to_datetime(date).timestamp() + 0.5 - (began + took / 2)
            findings.append(clock_finding(ahead, took / 2 + 0.5, "the hub"))
        return findings

    def _transport(self) -> Sequence[Finding]:
        parts = urlsplit(self._base)
        if parts.scheme == "https" or loopback(parts.hostname or ""):
            return ()
        found = "http:// sends tokens and plans unencrypted"
        return [
            Finding("encryption", "warning", found, f"use https://{parts.netloc}, with a proxy that has a certificate")
        ]

    def _fix_of(self, error: httpx.HTTPError) -> str:
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            return "export SSL_CERT_FILE=/path/to/ca.pem"
        parts = urlsplit(self._base)
        if loopback(parts.hostname or ""):
            return f"plancast serve --port {parts.port or 80}"
        return f"curl -i {self._base}/healthz"

    async def ready(self) -> Sequence[Finding]:
        async with self._client() as client:
            answer = await client.get("/readyz")
        if answer.status_code == HTTPStatus.OK:
            return [Finding("ready", "ok", "an event goes through its log and back")]
        problem = _member(answer, "problem") or _brief(answer)
        return [
            Finding(
                "ready", "failed", f"not ready: {problem}; on the hub's machine, examine its log:", "plancast doctor"
            )
        ]

    async def token(self) -> Sequence[Finding]:
        token = self._url.token()
        async with self._client(token) as client:
            answer = await client.get("/api/log")
        return [token_finding(token, answer.status_code, _member(answer, "code"), _member(answer, "detail"))]

    async def websocket(self) -> Sequence[Finding]:
        """Connect as the page does, with its origin."""
        try:
            async with self._socket() as socket, asyncio.timeout(AT_ONCE_S):
                connected = json.loads(await socket.frame())
        except UpgradeRefused as refused:
            return [self._refused(refused)]
        except TimeoutError:
            found = "the connection opens, but its first frame does not arrive: a proxy holds it back; for nginx:"
            return [Finding("websocket", "failed", found, NGINX_UPGRADE)]
        except SocketClosed as closed:
            return [self._origin_refused() if closed.code == CloseCode.ORIGIN_REFUSED else _closed_at_once(closed.code)]
        return [Finding("websocket", "ok", f"opens at once; the hub pings it every {connected['heartbeat_s']:g} s")]

    @property
    def _base_origin(self) -> str:
        parts = urlsplit(self._base)
        return f"{parts.scheme}://{parts.netloc}"

    def _refused(self, refused: UpgradeRefused) -> Finding:
        if refused.status == HTTPStatus.UNAUTHORIZED:
            return Finding("websocket", "skipped", "the upgrade passes; without a valid token the hub refuses it")
        if refused.status == HTTPStatus.FORBIDDEN:
            return self._origin_refused()
        found = f"the upgrade is answered with {refused.status}: a proxy does not pass on its headers; for nginx:"
        return Finding("websocket", "failed", found, NGINX_UPGRADE)

    def _origin_refused(self) -> Finding:
        found = f"the hub refuses pages of {self._base_origin}; for nginx, or in the hub's environment:"
        fix = f"proxy_set_header Host $http_host;\nexport PLANCAST_ORIGINS={self._base_origin}"
        return Finding("websocket", "failed", found, fix)

    async def streams(self) -> Sequence[Finding]:
        """Open a stream of server-sent events, whose first line the hub sends at once."""
        token = self._url.token()
        plan_id = plan_to_read(token)
        if plan_id is None:
            return [Finding("streams", "skipped", "the token reads no plan")]
        try:
            async with asyncio.timeout(AT_ONCE_S), self._client(token) as client:
                request = client.build_request("GET", f"/api/plans/{plan_id}/stream", params={"since": "now"})
                answer = await client.send(request, stream=True)
                async with aclosing(answer):
                    if not answer.is_success:
                        return [Finding("streams", "skipped", f"the hub refuses one: {answer.status_code}")]
                    await anext(answer.aiter_bytes())
        except TimeoutError:
            found = f"the first bytes of a response don't arrive within {AT_ONCE_S:g} s: a proxy buffers it; for nginx:"
            return [Finding("streams", "failed", found, NGINX_BUFFERING)]
        return [Finding("streams", "ok", "server-sent events arrive at once")]

    async def page(self) -> Sequence[Finding]:
        async with self._client() as client:
            answer = await client.get("/")
        if not answer.is_success or "text/html" not in answer.headers.get("content-type", ""):
            return [Finding("page", "failed", f"there is no page: {_brief(answer)}", f"curl -i {self._base}/")]
        if "/assets/" not in answer.text:
            found = "the hub serves its minimal page: the real one was not built where it is installed; a wheel has it"
            return [Finding("page", "warning", found, "pip install 'plancast[hub]'")]
        return [Finding("page", "ok", "served")]

    async def idle(self) -> Sequence[Finding]:
        """Keep a connection open without sending anything, until the hub's first ping."""
        started = time.perf_counter()
        try:
            async with self._socket() as socket:
                connected = json.loads(await socket.frame())
                async with asyncio.timeout(connected["heartbeat_s"] + BEAT_S):
                    await socket.ping()
        except (httpx.HTTPError, SocketClosed):
            lasted = time.perf_counter() - started
            found = f"a proxy closed a connection on which nothing was sent for {lasted:.0f} s; for nginx:"
            return [Finding("idle", "failed", found, NGINX_IDLE)]
        except UpgradeRefused:
            return [Finding("idle", "skipped", "no connection can be opened")]
        except TimeoutError:
            return [Finding("idle", "failed", "the hub's ping did not arrive: a proxy holds it back", NGINX_IDLE)]
        lasted = time.perf_counter() - started
        return [Finding("idle", "ok", f"a quiet connection was open for {lasted:.0f} s, until the hub's ping")]

    @asynccontextmanager
    async def _socket(self) -> AsyncGenerator[ProbeSocket]:
        async with self._client(self._url.token()) as client, ProbeSocket.opened(client, self._base_origin) as socket:
            yield socket

    def _client(self, token: str | None = None) -> httpx.AsyncClient:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx.AsyncClient(base_url=self._base, timeout=ANSWER_S, verify=_trust(self._base), headers=headers)


def _closed_at_once(code: int) -> Finding:
    if code in NO_TOKEN:
        return Finding("websocket", "skipped", f"opens at once; the hub closes it without a valid token ({code})")
    found = f"the connection opens, and is closed at once ({code or 'without a close frame'})"
    return Finding("websocket", "failed", found, NGINX_UPGRADE)


def _trust(base: str) -> ssl.SSLContext:
    """The trusted authorities. None without TLS, since reading a few hundred certificates takes time."""
    return httpx.create_ssl_context() if base.startswith("https:") else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _is_healthy(answer: httpx.Response) -> bool:
    return answer.is_success and _member(answer, "status") == "ok"


def _member(answer: httpx.Response, name: str) -> str:
    """A member of a JSON object; empty if there is none."""
    try:
        value: Any = answer.json()
        return str(value.get(name) or "")
    except (ValueError, AttributeError):
        return ""


def _brief(answer: httpx.Response) -> str:
    detail = _member(answer, "detail") or " ".join(answer.text.split())
    return f"{answer.status_code} {detail:.120}".strip()


def _reason(error: httpx.HTTPError) -> str:
    return str(error) or type(error).__name__
