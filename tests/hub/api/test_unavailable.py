"""While the log is unreachable, every route reports it in time; afterwards all work again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
import pytest_asyncio

from broadcasters.log.contract import Entry
from broadcasters.log.http.lines import write_append
from tests.hub.api.test_events import problem
from tests.hub.hubs import Said, say, until
from tests.servers import RedisServer
from tests.servers.hub import HubServer

APPEND = write_append(
    "plan-1", "x", 1, [Entry(b'{"type":"plan_update","id":"a","data":{"plan_id":"plan-1","status":"in_progress"}}')]
)
CHECKPOINT = b'{"epoch":"e","offset":1,"window":0,"count":1}\n{"plan_id":"plan-1","offset":1}\n'
ROUTES: list[tuple[str, str, dict[str, Any]]] = [
    ("GET", "/api/plans", {}),
    ("GET", "/api/plans/plan-1", {}),
    ("DELETE", "/api/plans/plan-2", {}),
    ("GET", "/api/plans/plan-1/events", {}),
    ("GET", "/api/plans/plan-1/events?wait=20", {}),
    ("POST", "/api/plans/plan-1/events", {"json": Said.message("hello")}),
    ("POST", "/api/plans/plan-1/inputs/x", {"json": {"answer": 1}}),
    ("GET", "/api/plans/plan-1/log", {}),
    ("GET", "/api/plans/plan-1/checkpoint", {}),
    ("PUT", "/api/plans/plan-1/checkpoint", {"content": CHECKPOINT}),
    ("POST", "/api/heads", {"json": {"plans": ["plan-1"]}}),
    ("POST", "/api/tail", {"json": {"plans": ["plan-3"]}}),
]


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest_asyncio.fixture
async def asking(redis: RedisServer) -> AsyncIterator[httpx.AsyncClient]:
    with HubServer(redis.url, constants={"hub.node.DEADLINE": 1.0}) as hub:
        async with httpx.AsyncClient(base_url=hub.url, timeout=60) as client:
            yield client


async def ask_everything(client: httpx.AsyncClient) -> None:
    """All routes at once; each responds with a Retry-After."""
    async with asyncio.timeout(30):
        answers = await asyncio.gather(*[client.request(method, path, **more) for method, path, more in ROUTES])
        appended = await client.post("/api/log", content=APPEND)
    for (_, path, _), response in zip(ROUTES, answers, strict=True):
        assert response.status_code == 503, (path, response.text)
        problem(response, 503, "unavailable")
        assert int(response.headers["retry-after"]) > 0
    [refused] = appended.json()["appends"]
    assert (refused["problem"]["status"], refused["problem"]["code"]) == (503, "unavailable")


async def test_an_unreachable_log_is_reported_until_it_is_back(redis: RedisServer, asking: httpx.AsyncClient) -> None:
    await say(asking, "plan-1", Said.message("before"))
    redis.kill()
    await ask_everything(asking)
    redis.start()
    await until(lambda: httpx.get(f"{asking.base_url}/readyz", timeout=20).status_code == 200)
    await say(asking, "plan-1", Said.message("after"))


@pytest.mark.slow
async def test_a_log_that_stops_responding_keeps_no_request_waiting(
    redis: RedisServer, asking: httpx.AsyncClient
) -> None:
    await say(asking, "plan-1", Said.message("before"))
    redis.pause()
    try:
        await ask_everything(asking)
    finally:
        redis.resume()
    await until(lambda: httpx.get(f"{asking.base_url}/readyz", timeout=20).status_code == 200)
    assert (await asking.get("/api/plans/plan-1/events")).status_code == 200


@pytest.mark.slow
async def test_a_full_log_has_its_own_status(asking: httpx.AsyncClient, redis: RedisServer) -> None:
    redis.call("CONFIG", "SET", "maxmemory", "1mb")
    response = await asking.post("/api/plans/plan-1/events", json=Said.message("x" * 200_000))
    problem(response, 507, "log_full")
    [refused] = (await asking.post("/api/log", content=APPEND)).json()["appends"]
    assert refused["problem"]["code"] == "log_full"
