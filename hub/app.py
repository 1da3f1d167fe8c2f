"""The hub as an ASGI application with its OpenAPI document, or as a router for another application."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any, Final

from broadcasters.extras import extra

with extra("hub", "a hub"):
    from fastapi import APIRouter, FastAPI, Request, Response
    from fastapi.openapi.utils import get_openapi
    from fastapi.responses import JSONResponse
    from starlette.routing import WebSocketRoute
    from starlette.types import Receive, Scope, Send
    from starlette.websockets import WebSocket

    from hub import dialects, protocols
    from hub.api import callers, documentation, events, export, log, plans, sample_traffic, steering, streams
    from hub.api.middleware import configure
    from hub.api.page import HubPage
    from hub.api.problems import ProblemBody
    from hub.api.route import operation_id
    from hub.node import Hub
    from hub.transports.admission import AdmissionControl
    from hub.transports.websocket import serve_websocket

__all__ = ["create_app", "operations_router", "streaming_router"]

ABOUT: Final = """\
Plans that agents work on, and their events. Section 11 of the protocol (docs/PROTOCOL.md) specifies what clients may rely
on. To follow plans live, prefer the WebSocket `/ws/streaming`.
"""
TAGS: Final = [
    {"name": "plans", "description": "Lists, snapshots, starting, signals, answers, tickets."},
    {"name": "events", "description": "Publish events of a plan; read them, or wait for new ones."},
    {"name": "streams", "description": "Server-sent events."},
    {
        "name": "log",
        "description": "The log itself, for programs that use it through this hub (`PLANCAST_LOG=http://…`).",
    },
    {
        "name": "dialects",
        "description": "Formats of other front ends for the same plans; only on hubs with an engine (docs/dialects).",
    },
    {
        "name": "protocols",
        "description": "Other protocols for the same plans, for clients that were made for other servers (docs/clients).",
    },
    {"name": "operations", "description": "Health and metrics, for operators."},
    {"name": "test", "description": "Sample traffic; only where PLANCAST_TEST_ENDPOINT enables it."},
]
_NOT_READY: Final[dict[str, Any]] = {
    "description": "The node receives no events, one of its parts fails, it is full, or it is being stopped; see `problem`.",
}
_METRICS: Final[dict[str, Any]] = {
    "description": "Metrics in the text format of Prometheus or OpenMetrics.",
    "content": {"text/plain": {"schema": {"type": "string"}}},
}


def create_app(hub: Hub | None = None) -> FastAPI:
    """An application that opens the hub at startup and closes it at shutdown.

    Without a hub, it makes one with the settings of the environment.

    Starlette runs no lifespan of a mounted application, so an application that mounts this one must enter the hub in its
    own lifespan. See docs/EMBEDDING.md.
    """
    hub = hub or Hub()
    app = FastAPI(
        title="Plancast",
        summary="A pub/sub subscription hub for multi-plan streaming.",
        version=version("plancast"),
        docs_url=None,  # FastAPI's pages run scripts from other hosts in the origin where the page keeps its token
        redoc_url=None,
    )
    app.include_router(streaming_router(hub))
    page = HubPage()
    for router in (*_routers(hub), page.router(), documentation.router()):
        # `include_router` would analyse each route again, which takes twice as long as all else here.
        app.routes.extend(router.routes)
    configure(app, hub.settings, page)
    _describe(app)
    return app


def streaming_router(hub: Hub) -> APIRouter:
    """The WebSocket `/ws/streaming` and, if the hub has an engine, the dialects, for any FastAPI application:
    `app.include_router(streaming_router(hub))`.

    The hub is opened and closed with the application; to use it earlier, enter it in the application's lifespan.
    """

    @asynccontextmanager
    async def lifespan(_: object) -> AsyncGenerator[None]:
        async with hub:
            yield

    routes = APIRouter(lifespan=lifespan)

    routes.routes.append(WebSocketRoute("/ws/streaming", _Streaming(hub.admission)))
    if hub.engine is not None:  # after the exact path above, since `/ws/{session_id}` would match it
        routes.routes.extend(dialects.router(hub).routes)
    return routes


def _routers(hub: Hub) -> Iterator[APIRouter]:
    for part in (plans, export, steering, events, streams, callers, log):
        yield part.router(hub)
    if hub.settings.offers_test_endpoint:
        yield sample_traffic.router(hub)
    yield protocols.router(hub)
    yield operations_router(hub)


class _Streaming:
    """An ASGI application rather than a function, for which FastAPI keeps 5 KiB as long as the socket is open."""

    def __init__(self, admission: AdmissionControl) -> None:
        self._admission = admission

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await serve_websocket(self._admission, WebSocket(scope, receive, send))


def operations_router(hub: Hub) -> APIRouter:
    """`/healthz`, `/readyz` and `/metrics`."""
    routes = APIRouter(tags=["operations"], generate_unique_id_function=operation_id)

    @routes.get("/healthz")
    async def healthz() -> dict[str, str]:
        """Whether the process is alive."""
        return {"status": "ok"}

    @routes.get("/readyz", responses={503: _NOT_READY})
    async def readyz() -> JSONResponse:
        """Whether the node should get clients: an event has just gone through the log and back."""
        problem = await hub.ready()
        if problem is None:
            return JSONResponse({"status": "ready"})
        return JSONResponse({"status": "not ready", "problem": problem}, status_code=503)

    @routes.get("/metrics", response_class=Response, responses={200: _METRICS})
    async def metrics(request: Request) -> Response:
        """Prometheus metrics of all workers of this hub."""
        body, content_type = hub.metrics.render(request.headers.get("accept", ""))
        return Response(body, media_type=content_type)

    return routes


def _describe(app: FastAPI) -> None:
    """Complete the application's OpenAPI document."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app)
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]


def _document(app: FastAPI) -> dict[str, Any]:
    found = get_openapi(
        title=app.title,
        version=app.version,
        summary=app.summary,
        description=ABOUT,
        routes=app.routes,
        tags=TAGS,
        license_info={"name": "MIT", "identifier": "MIT"},
        separate_input_output_schemas=False,
    )
    schemas = found.setdefault("components", {}).setdefault("schemas", {})
    schemas[ProblemBody.__name__] = ProblemBody.model_json_schema(ref_template="#/components/schemas/{model}")
    for operation in (one for path in found["paths"].values() for one in path.values()):
        if "security" in operation:  # either is enough, and development needs neither
            operation["security"] = [{"token": []}, {"ticket": []}, {}]
    return found
