"""Hubs for tests over HTTP: `plancast serve` in its own process, shared by all tests that don't harm it."""

from __future__ import annotations

import asyncio
import itertools
import secrets
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from tests.servers.hub import HubServer

__all__ = ["Said", "client", "development_hub", "plan_id", "say", "server", "until"]

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def development_hub() -> Iterator[HubServer]:
    """A hub without authentication, on an embedded log."""
    with tempfile.TemporaryDirectory(prefix="plancast-api-") as directory:
        log = f"sqlite:///{Path(directory) / 'plans.db'}"
        with HubServer(log, logs_level="warning") as hub:
            yield hub
            assert hub.logged("error") == [], hub.output


@pytest.fixture
def server(development_hub: HubServer) -> HubServer:
    return development_hub


@pytest_asyncio.fixture
async def client(server: HubServer) -> AsyncIterator[httpx.AsyncClient]:
    """An HTTP client of that hub."""
    async with httpx.AsyncClient(base_url=server.url, timeout=60) as asking:
        yield asking


@pytest.fixture
def plan_id() -> str:
    """The id of a plan without events."""
    return f"plan-{next(_numbers)}-{secrets.token_hex(3)}"


class Said:
    """Events as agents in any language publish them."""

    @staticmethod
    def message(text: str, **more: Any) -> dict[str, Any]:
        return {"type": "agent_message", "data": {"agent_name": "Data Analyst", "content": text, **more}}

    @staticmethod
    def update(**data: Any) -> dict[str, Any]:
        return {"type": "plan_update", "data": data}

    @staticmethod
    def request(request_id: str, **data: Any) -> dict[str, Any]:
        asked = {"request_id": request_id, "kind": "approval", "prompt": "May I?", **data}
        return {"type": "input_request", "data": asked}


async def until(true: Callable[[], Any], deadline_s: float = 30.0) -> None:
    """Wait until `true` returns true, for changes without an event; fails at the deadline."""
    async with asyncio.timeout(deadline_s):
        while not await asyncio.to_thread(true):
            await asyncio.sleep(0.01)


async def say(client: httpx.AsyncClient, plan_id: str, *events: dict[str, Any]) -> dict[str, Any]:
    """Publish these events of the plan; returns their positions."""
    response = await client.post(f"/api/plans/{plan_id}/events", json={"events": events})
    assert response.status_code == 201, response.text
    placed: dict[str, Any] = response.json()
    return placed
