"""`/mcp`: authenticates requests, and passes them to the `mcp` package, which is imported with the first of them."""

from __future__ import annotations

import asyncio
import json
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

from fastapi import APIRouter, Depends, Request, Response
from starlette.types import Receive, Scope, Send

from hub.access.principal import Principal
from hub.api.callers import caller_of
from hub.api.problems import Problem
from hub.api.route import operation_id
from hub.config.limits import MIB
from hub.node import Hub
from hub.protocols.route import ProtocolRoute

if TYPE_CHECKING:
    from hub.protocols.mcp.endpoint import McpEndpoint

__all__ = ["router"]

INTERNAL_ERROR: Final = -32603
INVALID_REQUEST: Final = -32600
NOT_INSTALLED: Final = "this hub lacks the package for MCP; its operator should run: pip install 'plancast[mcp]'"


class _McpRoute(ProtocolRoute):
    """Reports errors as JSON-RPC does, which clients show."""

    body_bytes = MIB

    @classmethod
    def refusal(cls, problem: Problem) -> Response:
        code = INTERNAL_ERROR if problem.status_code >= 500 else INVALID_REQUEST
        error = {"code": code, "message": str(problem.detail), "data": {"code": problem.body["code"]}}
        body = json.dumps({"jsonrpc": "2.0", "id": None, "error": error})
        return Response(body, problem.status_code, problem.headers, media_type="application/json")


def router(hub: Hub) -> APIRouter:
    """The endpoint's routes. (MCP describes itself, so they are not in the OpenAPI document.)"""
    routes = APIRouter(
        prefix="/mcp",
        tags=["protocols"],
        route_class=_McpRoute,
        generate_unique_id_function=operation_id,
        include_in_schema=False,
    )
    caller: Principal = Depends(caller_of(hub))
    endpoint = _Endpoint(hub)

    @routes.post("")
    async def mcp_request(request: Request, principal: Principal = caller) -> Response:
        """A request, an answer or a notification of a client."""
        return _Exchange(await endpoint.opened(), await request.body(), principal)

    @routes.delete("")
    async def mcp_end_session(principal: Principal = caller) -> Response:
        """The end of a client's session."""
        return _Exchange(await endpoint.opened(), b"", principal)

    return routes


class _Endpoint:
    """The hub's endpoint, opened for the first request and closed with the hub."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._opening: asyncio.Task[McpEndpoint] | None = None

    async def opened(self) -> McpEndpoint:
        if find_spec("mcp") is None:
            raise Problem("not_installed", NOT_INSTALLED, status=501)
        if self._opening is None:
            self._opening = asyncio.create_task(self._open())
        return await asyncio.shield(self._opening)

    async def _open(self) -> McpEndpoint:
        # In a thread: importing the package takes half a second of processor time.
        module: Any = await asyncio.to_thread(partial(import_module, "hub.protocols.mcp.endpoint"))
        endpoint: McpEndpoint = module.McpEndpoint(self._hub)
        await endpoint.open()
        self._hub.close_with(endpoint.close)
        return endpoint


class _Exchange(Response):
    """A response that the `mcp` package sends."""

    def __init__(self, endpoint: McpEndpoint, body: bytes, principal: Principal) -> None:
        super().__init__()
        self._endpoint = endpoint
        self._request_body = body
        self._principal = principal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._endpoint.serve(scope, receive, send, self._request_body, self._principal)
