"""Middleware and error handlers of the hub's application: CORS, HEAD, response headers, and problems for all errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Final

from fastapi import FastAPI, Request, Response
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hub.api.page import HubPage
from hub.api.problems import Problem, problem_of
from hub.config.settings import Settings
from hub.wire.codes import ErrorCode

__all__ = ["HEAD", "DefaultHeaders", "HeadAsGet", "configure"]

HEAD: Final = "plancast.head"
"""In the scope of a HEAD request, for routes that answer it differently than GET."""

METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
LOOPBACK: Final = r"https?://(localhost|[a-z0-9.-]+\.localhost|127(\.[0-9]{1,3}){3}|\[::1\])(:[0-9]{1,5})?"
REQUEST_HEADERS: Final = (
    "Authorization",
    "Content-Type",
    "Idempotency-Key",
    "If-None-Match",
    "Last-Event-ID",
    "traceparent",
    "X-Api-Key",
    *("Mcp-Session-Id", "Mcp-Protocol-Version", "Mcp-Method", "Mcp-Name"),
    *("Producer-Id", "Producer-Epoch", "Producer-Seq", "Stream-Closed"),
    "x-ms-client-principal-id",
)
RESPONSE_HEADERS: Final = (
    *("ETag", "Retry-After", "WWW-Authenticate"),
    *("Location", "Content-Location"),  # LangGraph
    *("Stream-Next-Offset", "Stream-Up-To-Date", "Stream-Cursor", "Stream-Closed"),
    *("Producer-Epoch", "Producer-Seq", "Producer-Expected-Seq", "Producer-Received-Seq"),
    "Mcp-Session-Id",
    "x-vercel-ai-ui-message-stream",
)


def configure(app: FastAPI, settings: Settings, page: HubPage) -> None:
    """Add the middleware and error handlers. CORS only informs browsers; `caller_of` checks origins."""

    async def as_problem(request: Request, error: Exception) -> Response:
        response = (problem_of(error) or Problem(ErrorCode.INTERNAL, "unexpected error in the hub")).response()
        if response.status_code == 404 and (shown := await page.not_found(request)) is not None:
            return shown
        if response.status_code == 405:  # the router that raised it knows one route only
            response.headers["Allow"] = ", ".join(_allowed(request))
        return response

    app.add_middleware(
        CORSMiddleware,
        allow_origins=settings.origins,
        allow_origin_regex=LOOPBACK if settings.development else None,
        allow_methods=METHODS,
        allow_headers=REQUEST_HEADERS,
        expose_headers=RESPONSE_HEADERS,
        max_age=600,
    )
    app.add_middleware(HeadAsGet)
    app.add_middleware(DefaultHeaders)
    app.add_exception_handler(HTTPException, as_problem)
    app.add_exception_handler(Exception, _unexpected)


def _allowed(request: Request) -> Iterator[str]:
    for method in METHODS:
        scope = {**request.scope, "method": "GET" if method == "HEAD" else method}
        if any(route.matches(scope)[0] is Match.FULL for route in request.app.routes):
            yield method


async def _unexpected(_: Request, error: Exception) -> Response:  # noqa: ARG001 - the server logs it
    return Problem(ErrorCode.INTERNAL, "unexpected error in the hub; see its log").response()


class HeadAsGet:
    """Answers HEAD requests as GET, without the body."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return
        ended = False

        async def headers_only(message: Message) -> None:
            nonlocal ended
            if message["type"] == "http.response.start":
                await send(message)
            elif not ended:
                ended = True
                await send({"type": "http.response.body", "body": b"", "more_body": False})
            if message.get("more_body"):
                raise OSError("a HEAD request has no body")  # ends a streaming response

        with suppress(OSError):
            await self._app({**scope, "method": "GET", HEAD: True}, receive, headers_only)


class DefaultHeaders:
    """Adds `nosniff`, and `no-store` unless the response sets its own."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.setdefault("X-Content-Type-Options", "nosniff")
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        await self._app(scope, receive, with_headers)
