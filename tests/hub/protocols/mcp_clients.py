"""The stock MCP client, of both eras, for tests."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx2
from mcp import Client
from mcp.client.session import ClientRequestContext, ElicitationFnT
from mcp.client.streamable_http import streamable_http_client
from mcp.types import CallToolResult, ElicitRequestParams, ElicitResult, TextContent

__all__ = ["ERAS", "Form", "Person", "connect", "fields", "person", "text"]

ERAS = {"modern": "2026-07-28", "legacy": "2025-11-25"}
Form = tuple[str, Mapping[str, Any]]
"""The prompt and the schema that a person is shown."""
Person = Callable[[Form], Awaitable[Mapping[str, Any] | None]]
"""Fills in a form, or declines."""


@asynccontextmanager
async def connect(url: str, era: str, who: Person | None = None, token: str | None = None) -> AsyncGenerator[Client]:
    """A client of a hub's `/mcp`. With a person, it can show forms."""
    mode = "legacy" if era == "legacy" else "auto"
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    callback = None if who is None else person(who)
    async with (
        httpx2.AsyncClient(headers=headers, timeout=60) as http,
        Client(
            streamable_http_client(f"{url}/mcp", http_client=http), mode=mode, elicitation_callback=callback
        ) as client,
    ):
        assert client.protocol_version == ERAS[era]
        await client.list_tools()  # as hosts do; otherwise the client requests them with its first result
        yield client


def person(who: Person) -> ElicitationFnT:
    """The client's callback for forms."""

    async def fill_in(context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
        assert params.mode == "form"
        content = await who((params.message, params.requested_schema))
        if content is None:
            return ElicitResult(action="decline")
        return ElicitResult(action="accept", content=dict(content))

    return fill_in


def fields(result: CallToolResult) -> dict[str, Any]:
    """The structured content of a result, which must not be an error."""
    assert not result.is_error, text(result)
    content: dict[str, Any] = result.structured_content
    return content


def text(result: CallToolResult) -> str:
    [content] = result.content
    assert isinstance(content, TextContent)
    return content.text
