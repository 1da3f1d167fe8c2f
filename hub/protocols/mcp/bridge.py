"""Serves a hub's `/mcp` over standard input and output, for desktop hosts of either era.

Each request is passed on by itself, with the token as it is then: the hub checks the rights, and may be restarted in
between. Hosts of the older era are asked for a person's answers here, since this connection lasts.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any, Final, NoReturn, TypeVar, cast

import httpx2
from mcp import Client
from mcp.client.session import ClientRequestContext, ClientSession
from mcp.client.streamable_http import streamable_http_client
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel.server import Server
from mcp.server.stdio import stdio_server
from mcp.shared.exceptions import MCPError
from mcp.types import (
    CONNECTION_CLOSED,
    INTERNAL_ERROR,
    CallToolRequest,
    CallToolRequestParams,
    CallToolResult,
    ElicitRequestParams,
    ElicitResult,
    InputRequiredResult,
    ListResourcesRequest,
    ListResourcesResult,
    ListResourceTemplatesRequest,
    ListResourceTemplatesResult,
    ListToolsRequest,
    ListToolsResult,
    PaginatedRequestParams,
    ReadResourceRequest,
    ReadResourceRequestParams,
    ReadResourceResult,
    TextContent,
)
from pydantic import TypeAdapter

from broadcasters.errors import PlancastError
from broadcasters.log.http.link import HubUrl
from hub.protocols.mcp.elicitation import elicits, reporter_of, settled
from hub.protocols.mcp.server import INSTRUCTIONS

__all__ = ["serve_stdio"]

ERA: Final = "2026-07-28"
"""The hub's sessions are not used: a hub that was restarted knows none."""
CONNECT_S: Final = 10.0
LOST: Final = "the connection to the hub was lost; the plan goes on: call again"
_CALLED: Final[TypeAdapter[CallToolResult | InputRequiredResult]] = TypeAdapter(CallToolResult | InputRequiredResult)

Ctx = ServerRequestContext[Any, Any]
R = TypeVar("R", ListToolsResult, ListResourcesResult, ListResourceTemplatesResult, ReadResourceResult)


async def serve_stdio(hub: HubUrl) -> None:
    """Serve until standard input ends."""
    bridge = _Bridge(hub)
    server: Server[Any] = Server(
        "plancast",
        title="Plancast",
        version=version("plancast"),
        instructions=INSTRUCTIONS,
        on_list_tools=bridge.list_tools,
        on_call_tool=bridge.call_tool,
        on_list_resources=bridge.list_resources,
        on_list_resource_templates=bridge.list_resource_templates,
        on_read_resource=bridge.read_resource,
    )
    async with stdio_server() as (received, sent):
        await server.run(received, sent, server.create_initialization_options())


class _Unreachable(Exception):
    """The hub gave no answer. The message is for people."""


class _Bridge:
    """Passes requests on to a hub."""

    def __init__(self, hub: HubUrl) -> None:
        self._hub = hub

    async def list_tools(self, ctx: Ctx, params: PaginatedRequestParams | None) -> ListToolsResult:  # noqa: ARG002
        return await self._pass_on(ListToolsRequest(params=_page(params)), ListToolsResult)

    async def list_resources(self, ctx: Ctx, params: PaginatedRequestParams | None) -> ListResourcesResult:  # noqa: ARG002
        return await self._pass_on(ListResourcesRequest(params=_page(params)), ListResourcesResult)

    async def list_resource_templates(
        self,
        ctx: Ctx,  # noqa: ARG002
        params: PaginatedRequestParams | None,
    ) -> ListResourceTemplatesResult:
        return await self._pass_on(ListResourceTemplatesRequest(params=_page(params)), ListResourceTemplatesResult)

    async def read_resource(self, ctx: Ctx, params: ReadResourceRequestParams) -> ReadResourceResult:  # noqa: ARG002
        request = ReadResourceRequest(params=ReadResourceRequestParams(uri=params.uri))
        return await self._pass_on(request, ReadResourceResult)

    async def call_tool(self, ctx: Ctx, params: CallToolRequestParams) -> CallToolResult | InputRequiredResult:
        report = reporter_of(ctx)

        async def progress(progress: float, total: float | None, message: str | None) -> None:  # noqa: ARG001
            await report(progress, message or "")

        async def call(params: CallToolRequestParams) -> CallToolResult | InputRequiredResult:
            request = CallToolRequest(params=params.model_copy(update={"meta": None}))
            async with self._session(elicits(ctx)) as session:
                return await session.send_request(request, _CALLED, progress_callback=progress)

        try:
            return await settled(ctx, params, call)
        except _Unreachable as error:
            return CallToolResult(content=[TextContent(text=str(error))], is_error=True)

    async def _pass_on(self, request: Any, result: type[R]) -> R:
        try:
            async with self._session(elicits=False) as session:
                return await session.send_request(request, result)
        except _Unreachable as error:
            raise MCPError(INTERNAL_ERROR, str(error)) from None

    @asynccontextmanager
    async def _session(self, elicits: bool) -> AsyncGenerator[ClientSession]:
        """A session for one request. Raises `_Unreachable` if the hub is."""
        try:
            token = self._hub.token()
            headers = {} if token is None else {"Authorization": f"Bearer {token}"}
            timeout = httpx2.Timeout(None, connect=CONNECT_S)
            async with httpx2.AsyncClient(headers=headers, timeout=timeout) as http:
                transport = streamable_http_client(f"{self._hub.base}/mcp", http_client=http)
                callback = _never if elicits else None
                async with Client(transport, mode=ERA, elicitation_callback=callback) as client:
                    yield client.session
        except PlancastError as error:
            raise _Unreachable(str(error)) from None
        except Exception as error:
            self._explain(error)

    def _explain(self, error: Exception) -> NoReturn:
        for cause in _causes(error):
            if isinstance(cause, MCPError) and cause.code == CONNECTION_CLOSED:
                raise _Unreachable(LOST) from None
            if isinstance(cause, MCPError):
                raise cause from None
            if isinstance(cause, httpx2.TransportError):
                text = f"the hub at {self._hub.base} can't be reached: {cause}; is it running (plancast serve)?"
                raise _Unreachable(text) from None
        raise error


async def _never(context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:  # noqa: ARG001
    """Declares that there is a person; the hub does not ask over this connection but in its results."""
    return ElicitResult(action="cancel")


def _page(params: PaginatedRequestParams | None) -> PaginatedRequestParams:
    return PaginatedRequestParams(cursor=params.cursor if params else None)


def _causes(error: BaseException) -> list[BaseException]:
    if not isinstance(error, BaseExceptionGroup):
        return [error]
    group = cast("BaseExceptionGroup[BaseException]", error)
    return [cause for each in group.exceptions for cause in _causes(each)]
