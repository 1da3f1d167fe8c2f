"""The hub as an ASGI application, or as a router for somebody else's."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import APIRouter, FastAPI
from starlette.routing import WebSocketRoute
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket

from hub import dialects
from hub.api import events, health, log, page, plans, sample_traffic, steering, streams, tickets
from hub.api.middleware import teach
from hub.api.openapi import describe
from hub.node import Hub
from hub.transports.admission import AdmissionControl
from hub.transports.websocket import serve_websocket

__all__ = ["create_app", "streaming_router"]


def create_app(hub: Hub) -> FastAPI:
    """An application of its own; it opens the hub when it starts, and closes it when it ends.

    Mounted in another application it is never told of either (Starlette's way): the outer one's lifespan then enters
    the hub. See docs/EMBEDDING.md.
    """
    app = FastAPI(
        title="Plancast",
        summary="A pub/sub subscription hub for multi-plan streaming.",
        version=version("plancast"),
        docs_url=None,  # the framework's pages run scripts of other hosts here, where the page keeps its token
        redoc_url=None,
    )
    app.include_router(streaming_router(hub))
    for part in (plans, steering, events, streams, tickets, log):
        app.include_router(part.router(hub))
    if hub.settings.offers_test_endpoint:
        app.include_router(sample_traffic.router(hub))
    app.include_router(health.router(hub))
    app.include_router(page.router())
    teach(app, hub.settings)
    describe(app)
    return app


def streaming_router(hub: Hub) -> APIRouter:
    """What page authors need, for any FastAPI app: `app.include_router(streaming_router(hub))`. The dialects come with it
    where the hub has an engine.

    The hub is opened and closed with the application; an owner who needs it sooner enters it in the app's lifespan.
    """

    @asynccontextmanager
    async def lifespan(_: object) -> AsyncGenerator[None]:
        async with hub:
            yield

    routes = APIRouter(lifespan=lifespan)

    routes.routes.append(WebSocketRoute("/ws/streaming", _Streaming(hub.admission)))
    if hub.engine is not None:  # behind the exact path above, which `/ws/{session_id}` would take for a session
        routes.include_router(dialects.router(hub))
    return routes


class _Streaming:
    """An ASGI application, not a function: FastAPI's own way to call one costs 5 KiB for as long as a socket is open."""

    def __init__(self, admission: AdmissionControl) -> None:
        self._admission = admission

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await serve_websocket(self._admission, WebSocket(scope, receive, send))
