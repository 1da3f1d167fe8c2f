"""Streamed responses close their generators themselves. The garbage collector would close a generator in a task of the event
loop, and a stopping hub may end the loop before the task has ended."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from hub.app import create_app
from hub.config.settings import Settings
from hub.node import Hub

HEADERS = [(b"host", b"localhost"), (b"content-type", b"application/json")]


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[Hub]:
    async with Hub(Settings(log=f"sqlite:///{tmp_path}/plans.db")) as hub:
        await hub.broadcaster.send_plan_update("p", status="in_progress")
        yield hub


class _SlowClient:
    """A client that disconnects while a piece of the response is on its way to it."""

    def __init__(self, body: bytes, pieces: int) -> None:
        self._request = {"type": "http.request", "body": body, "more_body": False}
        self._pieces = pieces
        self._sent = False
        self._leaves = asyncio.Event()

    async def receive(self) -> Any:
        if not self._sent:
            self._sent = True
            return self._request
        await self._leaves.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        self._pieces -= message["type"] == "http.response.body"
        if self._pieces == 0:
            self._leaves.set()
            await asyncio.Event().wait()


@pytest.mark.parametrize(
    ("method", "path", "body", "pieces"),
    [
        ("POST", "/api/tail", json.dumps({"plans": ["p"]}), 1),
        ("GET", "/api/plans/p/stream", "", 1),
        ("GET", "/api/plans/p/stream", "", 2),
        ("GET", "/streams/p", "", 1),
    ],
)
async def test_no_generator_is_left_when_a_client_leaves(
    method: str, path: str, body: str, pieces: int, hub: Hub
) -> None:
    left = list[str]()

    def finalizer(generator: AsyncGenerator[object]) -> None:
        left.append(getattr(generator, "__qualname__", repr(generator)))

    client, query = _SlowClient(body.encode(), pieces), b"since=start&offset=-1&live=sse"
    scope = {"type": "http", "method": method, "path": path, "raw_path": path.encode(), "query_string": query}
    scope |= {"headers": HEADERS, "client": ("127.0.0.1", 1), "server": ("localhost", 80), "scheme": "http"}
    app, before = create_app(hub), sys.get_asyncgen_hooks()
    sys.set_asyncgen_hooks(before.firstiter, finalizer)
    try:
        async with asyncio.timeout(30):
            await app(scope, client.receive, client.send)
    finally:
        sys.set_asyncgen_hooks(*before)
    assert left == []
