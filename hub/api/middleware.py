"""What an application of ours does with every request, whatever it is for: HEAD, CORS, discretion, problems throughout."""

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

from hub.api.problems import Problem, problem_of
from hub.config.settings import Settings
from hub.wire.codes import ErrorCode

__all__ = ["Discreet", "HeadAsGet", "teach"]

METHODS: Final = ("GET", "HEAD", "POST", "PUT", "DELETE")
LOOPBACK: Final = r"https?://(localhost|[a-z0-9.-]+\.localhost|127(\.[0-9]{1,3}){3}|\[::1\])(:[0-9]{1,5})?"
ASKED_WITH: Final = (
    "Authorization",
    "Content-Type",
    "Idempotency-Key",
    "If-None-Match",
    "Last-Event-ID",
    "traceparent",
)
ANSWERED_WITH: Final = ("ETag", "Retry-After", "WWW-Authenticate")


def teach(app: FastAPI, settings: Settings) -> None:
    """Teach the application manners. Who may really ask is for `caller_of` to say; CORS only tells browsers."""
    app.add_middleware(
        CORSMiddleware,
        allow_origins=settings.origins,
        allow_origin_regex=LOOPBACK if settings.development else None,
        allow_methods=METHODS,
        allow_headers=ASKED_WITH,
        expose_headers=ANSWERED_WITH,
        max_age=600,
    )
    app.add_middleware(HeadAsGet)
    app.add_middleware(Discreet)
    app.add_exception_handler(HTTPException, _as_problem)
    app.add_exception_handler(Exception, _our_mistake)


async def _as_problem(request: Request, error: Exception) -> Response:
    response = (problem_of(error) or Problem(ErrorCode.INTERNAL, "something in the hub failed")).response()
    if response.status_code == 405:  # who raised it knows of one route only
        response.headers["Allow"] = ", ".join(_allowed(request))
    return response


def _allowed(request: Request) -> Iterator[str]:
    for method in METHODS:
        asked = {**request.scope, "method": "GET" if method == "HEAD" else method}
        if any(route.matches(asked)[0] is Match.FULL for route in request.app.routes):
            yield method


async def _our_mistake(_: Request, error: Exception) -> Response:  # noqa: ARG001 - the server logs it
    return Problem(ErrorCode.INTERNAL, "something in the hub failed; its log says what").response()


class HeadAsGet:
    """What can be asked for with GET can be asked about with HEAD: the same, but for the body."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return
        over = False

        async def headers_only(message: Message) -> None:
            nonlocal over
            if message["type"] == "http.response.start":
                await send(message)
            elif not over:
                over = True
                await send({"type": "http.response.body", "body": b"", "more_body": False})
            if message.get("more_body"):
                raise OSError("only the headers were asked for")  # ends what would go on

        with suppress(OSError):
            await self._app({**scope, "method": "GET"}, receive, headers_only)


class Discreet:
    """What an answer is, it says itself, and no browser guesses; it is for whoever asked, and nobody keeps it, unless it
    says otherwise."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def discreetly(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.setdefault("X-Content-Type-Options", "nosniff")
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        await self._app(scope, receive, discreetly)
