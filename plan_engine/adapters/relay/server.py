"""The server of an agent, over HTTP: one request, and the server-sent events of its response."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Final, Self, cast

import httpx

from broadcasters.errors import PlancastError
from plan_engine.adapters.conversion import cut

__all__ = ["AgentServer", "ServerFailed", "server_events"]

CONNECT_S: Final = 10.0
SILENCE_S: Final = 300.0
"""Longest time without a byte: agents think, and not all servers send keep-alives."""
MAX_EVENT_BYTES: Final = 16 * 1024 * 1024
MAX_PROBLEM: Final = 500


class ServerFailed(PlancastError):
    """The agent's server refused the run, reported that it failed, or broke off."""


class AgentServer:
    """`async with AgentServer(url, headers) as server: async for event in server.run(body)`."""

    def __init__(self, url: str, headers: Mapping[str, str] | None = None) -> None:
        self.url = url
        timeout = httpx.Timeout(CONNECT_S, read=SILENCE_S)
        self._client = httpx.AsyncClient(headers={**(headers or {})}, timeout=timeout, follow_redirects=True)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, cls: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._client.aclose()

    @asynccontextmanager
    async def run(self, body: Mapping[str, Any]) -> AsyncGenerator[AsyncIterator[Mapping[str, Any]]]:
        """POST the request; yields its events. Raises `ServerFailed`."""
        try:
            async with self._client.stream(
                "POST", self.url, json=body, headers={"Accept": "text/event-stream"}
            ) as response:
                if response.is_error:
                    problem = (await response.aread()).decode(errors="replace").strip()
                    raise ServerFailed(f"{self.url} answered {response.status_code}: {cut(problem, MAX_PROBLEM)}")
                yield server_events(response.aiter_bytes())
        except httpx.HTTPError as error:
            raise ServerFailed(f"{self.url}: {str(error) or type(error).__name__}") from None


async def server_events(pieces: AsyncIterator[bytes]) -> AsyncIterator[Mapping[str, Any]]:
    """The JSON objects in the data of server-sent events. Comments, other fields and other data are ignored."""
    data: list[bytes] = []
    async for line in _lines(pieces):
        if line.startswith(b"data:"):
            data.append(line[5:].removeprefix(b" "))
        elif not line and data:
            event, data = _object(b"\n".join(data)), []
            if event is not None:
                yield event


async def _lines(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Lines of a stream, without their ends. (httpx also splits at U+2028, which JSON may contain.)"""
    rest = b""
    async for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            yield line.removesuffix(b"\r")
        if len(rest) > MAX_EVENT_BYTES:
            raise ServerFailed(f"the server sent an event of more than {MAX_EVENT_BYTES:,} bytes")


def _object(data: bytes) -> Mapping[str, Any] | None:
    try:
        value = json.loads(data)
    except ValueError:  # such as [DONE]
        return None
    return cast("dict[str, Any]", value) if isinstance(value, dict) else None
