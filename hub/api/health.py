"""Is the process alive, does it hear, and what has it counted?"""

from __future__ import annotations

from typing import Any, Final

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from hub.api.route import operation_id
from hub.node import Hub

__all__ = ["router"]


_NOT_READY: Final[dict[str, Any]] = {
    "description": "The node hears nothing, a part of it fails, it is full, or it is being stopped. `problem` says which.",
}
_METRICS: Final[dict[str, Any]] = {
    "description": "In Prometheus's text format, or OpenMetrics.",
    "content": {"text/plain": {"schema": {"type": "string"}}},
}


def router(hub: Hub) -> APIRouter:
    """`/healthz`, `/readyz` and `/metrics`."""
    routes = APIRouter(tags=["operations"], generate_unique_id_function=operation_id)

    @routes.get("/healthz")
    async def healthz() -> dict[str, str]:
        """The process answers."""
        return {"status": "ok"}

    @routes.get("/readyz", responses={503: _NOT_READY})
    async def readyz() -> JSONResponse:
        """A word was said through the log just now, and came back."""
        problem = await hub.ready()
        if problem is None:
            return JSONResponse({"status": "ready"})
        return JSONResponse({"status": "not ready", "problem": problem}, status_code=503)

    @routes.get("/metrics", response_class=Response, responses={200: _METRICS})
    async def metrics(request: Request) -> Response:
        """Prometheus metrics of this process, or of all workers of this hub."""
        body, content_type = hub.metrics.render(request.headers.get("accept", ""))
        return Response(body, media_type=content_type)

    return routes
