"""Clients that have gone are freed at once, by reference counting, not by the garbage collector.

Objects that have existed for a while are examined only by full collections, which are rare in a hub.
"""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import pytest

from hub.transports.http_guard import WebSocketGuard
from tests.faults.raw_socket import CLOSE, RawSocket, connected, dialled, frame, handshake
from tests.hub.transports.serving import SECRET, house, serving

VISITS: Final = 10
DEADLINE_S: Final = 15.0
OURS: Final = ("hub.", "uvicorn.", "websockets.", "httptools.", "uvloop.")

Visit = Callable[[str], Awaitable[None]]


@pytest.fixture(autouse=True)
def _no_collector() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


async def _subscribed(client: RawSocket) -> None:
    await client.receive_until("connected")
    await client.request("subscribe_plan", plan_id="p")


async def closed_by_the_client(url: str) -> None:
    async with dialled(url) as client:
        await _subscribed(client)
        await client.send(frame(b"\x03\xe8", CLOSE))
        await client.closed()


async def reset_by_the_client(url: str) -> None:
    async with dialled(url) as client:
        await _subscribed(client)
        client.reset()


async def closed_by_the_hub(url: str) -> None:
    async with dialled(url) as client:
        await _subscribed(client)
        await client.send(frame(b"no JSON") * 16)
        assert await client.closed() == 4500


async def breaking_the_rules(url: str) -> None:
    async with dialled(url) as client:
        await _subscribed(client)
        await client.send(frame(reserved=4))
        assert await client.closed() == 1002


async def with_a_handshake_of_another_version(url: str) -> None:
    async with connected(_port(url)) as client:
        await client.send(handshake(url, {"Sec-WebSocket-Version": "12"}))
        assert (await client.until_eof()).startswith(b"HTTP/1.1 400 ")


async def refused(url: str) -> None:
    async with dialled(url, token="none-of-ours") as client:
        assert await client.closed() == 4501


async def refused_after_a_look_at_the_log(url: str) -> None:
    async with dialled(url, ticket="none-of-ours") as client:
        assert await client.closed() == 4501


async def streaming_over_http(url: str) -> None:
    async with connected(_port(url)) as client:
        await client.send(_get(url, "/api/plans/p/stream"))
        await client.until(b"subscription_confirmed")


async def asking_over_http(url: str) -> None:
    async with connected(_port(url)) as client:
        await client.send(_get(url, "/healthz"))
        await client.until(b"\r\n\r\n")


VISITS_OF_ALL: Final = [
    closed_by_the_client,
    reset_by_the_client,
    closed_by_the_hub,
    breaking_the_rules,
    with_a_handshake_of_another_version,
    streaming_over_http,
    asking_over_http,
]


def _get(url: str, path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: {urlsplit(url).netloc}\r\n\r\n".encode()


def _port(url: str) -> int:
    return urlsplit(url).port or 80


def _census() -> Counter[str]:
    """How many objects of the server's there are, of each type."""
    names = (f"{type(one).__module__}.{type(one).__qualname__}" for one in gc.get_objects())
    return Counter(name for name in names if name.startswith(OURS))


async def _all_freed(before: Counter[str]) -> None:
    """Wait until no type has one object more for each visit."""
    until = asyncio.get_running_loop().time() + DEADLINE_S
    while kept := {name: more for name, more in (_census() - before).items() if more >= VISITS}:
        assert asyncio.get_running_loop().time() < until, f"kept after {VISITS} visits: {kept}"
        await asyncio.sleep(0.05)


async def _freed_after(visit: Visit, folder: Path, ws: Any, **settings: Any) -> None:
    async with house(folder, **settings) as hub, serving(hub, ws=ws) as url:
        await visit(url)
        before = _census()
        for _ in range(VISITS):
            await visit(url)
        await _all_freed(before)


def _run(visit: Visit, folder: Path, ws: Any, **settings: Any) -> None:
    """On the loop that `plancast serve` runs: asyncio's own transports refer to themselves."""
    uvloop = pytest.importorskip("uvloop")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_freed_after(visit, folder, ws, **settings))


@pytest.mark.parametrize("ws", [None, WebSocketGuard], ids=["native", "asgi"])
@pytest.mark.parametrize("visit", VISITS_OF_ALL, ids=lambda visit: visit.__name__)
def test_a_client_that_has_gone_is_freed(visit: Visit, ws: Any, tmp_path: Path) -> None:
    _run(visit, tmp_path, ws)


@pytest.mark.parametrize("ws", [None, WebSocketGuard], ids=["native", "asgi"])
@pytest.mark.parametrize("visit", [refused, refused_after_a_look_at_the_log], ids=lambda visit: visit.__name__)
def test_a_client_that_was_refused_is_freed(visit: Visit, ws: Any, tmp_path: Path) -> None:
    _run(visit, tmp_path, ws, auth_secret=SECRET)
