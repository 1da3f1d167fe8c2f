"""The HTTP server of `plancast worker`, for its supervisor and for Prometheus: `/livez`, `/readyz` and `/metrics`."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import Final

from broadcasters.extras import extra

with extra("hub", "serving probes and metrics"):
    import uvicorn
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import JSONResponse, Response
    from starlette.routing import Route

    from hub.telemetry.metrics import Metrics

__all__ = ["serving_probes"]

MOST_REQUESTS: Final = 64
"""Requests and connections at once; further ones get 503."""
GRACE_S: Final = 1


@asynccontextmanager
async def serving_probes(
    bound: socket.socket, metrics: Metrics, problem: Callable[[], Awaitable[str | None]]
) -> AsyncGenerator[None]:
    """Serve on this socket, in the running event loop, until the block is left.

    `problem` returns why the process is not ready, or None."""
    config = uvicorn.Config(
        _application(metrics, problem),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        limit_concurrency=MOST_REQUESTS,
        timeout_graceful_shutdown=GRACE_S,
    )
    server = _ProbeServer(config)
    task = asyncio.create_task(server.serve([bound]), name="probes and metrics")
    try:
        yield
    finally:
        server.should_exit = True
        await task


class _ProbeServer(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """The worker handles them."""
        yield


def _application(metrics: Metrics, problem: Callable[[], Awaitable[str | None]]) -> Starlette:
    async def livez(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def readyz(_: Request) -> Response:
        found = await problem()
        if found is None:
            return JSONResponse({"status": "ready"})
        return JSONResponse({"status": "not ready", "problem": found}, status_code=503)

    async def exposition(request: Request) -> Response:
        body, content_type = metrics.render(request.headers.get("accept", ""))
        return Response(body, media_type=content_type)

    return Starlette(
        routes=[Route("/livez", livez), Route("/readyz", readyz), Route("/metrics", exposition)],
    )
