"""Limits of time and size before a request is complete; everything else stays as it is."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI, WebSocket

from hub.config.limits import ConnectionLimits
from hub.core.counts import HubCounts
from hub.transports import http_guard
from hub.transports.http_guard import HEAD_BYTES, HttpConnectionLimit, HttpGuard, WebSocketGuard
from hub.transports.peers import Proxies
from tests.faults.raw_socket import CONT, PING, TEXT, RawSocket, connected, dialled, frame, handshake
from tests.hub.transports.serving import run, until


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Responds with the names of the headers and the size of the body; on /early before the body, on /slow never."""
    size, more = 0, scope["path"] == "/whole"
    while more:
        message = await receive()
        size, more = size + len(message.get("body", b"")), message.get("more_body", False)
    names = b",".join(name for name, _ in scope["headers"])
    await send({"type": "http.response.start", "status": 200, "headers": []})
    if scope["path"] == "/slow":
        while (await receive())["type"] != "http.disconnect":
            pass
        return
    await send({"type": "http.response.body", "body": b"%b; %d bytes" % (names, size)})


def two_each(proxies: str = "") -> HttpConnectionLimit:
    """Allows two connections per address."""
    return HttpConnectionLimit(ConnectionLimits(per_address=1), Proxies(proxies), HubCounts())


@asynccontextmanager
async def client() -> AsyncGenerator[RawSocket]:
    config = uvicorn.Config(app, http=HttpGuard, ws=WebSocketGuard, lifespan="off", log_config=None, access_log=False)
    async with run(config) as port, connected(port) as one:
        yield one


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HEAD_SECONDS", "REST_SECONDS"):
        monkeypatch.setattr(http_guard, name, 0.3)


GET = b"GET /whole HTTP/1.1\r\nHost: h\r\n"


async def test_requests_one_after_the_other_and_in_pieces() -> None:
    async with client() as line:
        for _ in range(3):
            for piece in (GET[:7], GET[7:], b"A: b\r\n", b"\r\n"):
                await line.send(piece)
            assert (await line.until(b"0\r\n\r\n")).endswith(b"\r\nhost,a; 0 bytes\r\n0\r\n\r\n")
        await line.send((GET + b"\r\n") * 3)
        for _ in range(3):
            assert b"host; 0 bytes" in await line.until(b"0\r\n\r\n")


async def test_a_body_is_larger_than_any_head_may_be() -> None:
    async with client() as line:
        await line.send(b"POST /whole HTTP/1.1\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 1_000_000)
        assert b"content-length; 1000000 bytes" in await line.until(b"0\r\n\r\n")


async def test_a_body_has_a_bound_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_guard, "MESSAGE_BYTES", 500_000)
    async with client() as line:
        await line.send(b"POST /whole HTTP/1.1\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 900_000)
        assert await line.until_eof() == b""


async def test_what_comes_behind_a_body_is_no_header() -> None:
    async with client() as line:
        await line.send(
            b"POST /whole HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nAuthorization: late\r\n\r\n"
        )
        assert b"transfer-encoding; 1 bytes" in await line.until(b"0\r\n\r\n")


@pytest.mark.parametrize(
    ("begin", "answer"),
    [
        (b"", b""),
        (b"\r\n", b"HTTP/1.1 408 "),
        (b"GE", b"HTTP/1.1 408 "),
        (GET, b"HTTP/1.1 408 "),
        (GET + b"Upgrade: websocket\r\nConnection: Upgrade\r\nContent-Length: 9\r\n\r\n", b"HTTP/1.1 400 "),
        (GET + b"\r\n" + GET, b"HTTP/1.1 200 "),
        (b"POST /early HTTP/1.1\r\nContent-Length: 9\r\n\r\n", b"HTTP/1.1 200 "),
        (GET + b"\r\n\r\n\r\n", b"HTTP/1.1 200 "),
    ],
)
async def test_an_incomplete_request_times_out(begin: bytes, answer: bytes) -> None:
    async with client() as line:
        await line.send(begin)
        heard = await line.until_eof()
        assert (heard[:13] == answer) if answer else (heard == b"")


async def test_a_head_has_a_bound() -> None:
    async with client() as line:
        sending = asyncio.create_task(line.send(GET + b"A: " + b"x" * 2_000_000))
        assert (await line.until_eof()).startswith(b"HTTP/1.1 431 ")
        await sending


@pytest.mark.parametrize(
    "rest", [b"\r\n", b"Upgrade: websocket\r\nConnection: Upgrade\r\n\r\n", b"\r\n" + GET + b"\r\n"]
)
@pytest.mark.parametrize("large", [b"GET /%b HTTP/1.1\r\nHost: h\r\n", GET + b"A: %b\r\n"])
async def test_a_whole_head_that_comes_at_once_has_the_same_bound(large: bytes, rest: bytes) -> None:
    async with client() as line:
        await line.send(large % (b"x" * (HEAD_BYTES - 4096)) + b"\r\n")
        assert (await line.until(b"0\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
        await line.send(large % (b"x" * (HEAD_BYTES + 1)) + rest)
        assert (await line.until_eof()).count(b"HTTP/1.1 431 ") == 1


async def test_many_small_headers_are_a_large_head_too() -> None:
    async with client() as line:
        await line.send(GET + b"A: b\r\n" * (HEAD_BYTES // 6) + b"\r\n")
        assert (await line.until_eof()).startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize(("version", "status"), [(b"1.0", b"400"), (b"2.0", b"505"), (b"0.9", b"505")])
async def test_only_a_request_of_http_1_1_becomes_a_websocket(version: bytes, status: bytes) -> None:
    """C-CON-3"""
    async with client() as line:
        await line.send(handshake("ws://h/nothing", {}).replace(b"HTTP/1.1", b"HTTP/" + version))
        assert (await line.until_eof()).split()[:2] == [b"HTTP/1.1", status]


@pytest.mark.parametrize(("version", "status"), [(b"1.0", b"200"), (b"2.0", b"505"), (b"0.9", b"505")])
async def test_other_versions_of_http_than_1_are_refused(version: bytes, status: bytes) -> None:
    async with client() as line:
        await line.send(b"GET /whole HTTP/%b\r\nHost: h\r\n\r\n" % version)
        assert (await line.until_eof()).split()[:2] == [b"HTTP/1.1", status]


async def test_a_head_without_bounds_behind_an_answer_that_goes_on() -> None:
    async with client() as line:
        await line.send(b"GET /slow HTTP/1.1\r\n\r\n")
        await line.until(b"\r\n\r\n")
        await line.send(GET + b"A: " + b"x" * 500_000)
        assert await line.until_eof() == b""


async def test_a_response_may_take_any_time() -> None:
    async with client() as line:
        await line.send(b"GET /slow HTTP/1.1\r\n\r\n")
        await line.until(b"\r\n\r\n")
        ending = asyncio.create_task(line.until_eof())
        await asyncio.wait([ending], timeout=1.0)
        assert not ending.done()
        line.reset()
        await ending


@asynccontextmanager
async def limited(limit: HttpConnectionLimit) -> AsyncGenerator[int]:
    guard: Any = partial(HttpGuard, limit=limit)
    config = uvicorn.Config(app, http=guard, ws=WebSocketGuard, lifespan="off", log_config=None, access_log=False)
    async with run(config) as port:
        yield port


async def test_connections_per_address_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise one client with many idle connections would use up the open files of the process."""
    monkeypatch.setattr(http_guard, "HEAD_SECONDS", 30.0)
    limit = two_each()
    async with limited(limit) as port, connected(port):
        async with connected(port):
            await until(lambda: limit._open.total == 2)
            for _ in range(3):
                async with connected(port) as third:
                    assert await third.until_eof() == b""
        await until(lambda: limit._open.total == 1)
        async with connected(port) as second:
            await second.send(GET + b"\r\n")
            assert b"host; 0 bytes" in await second.until(b"0\r\n\r\n")


async def test_connections_of_a_trusted_proxy_are_not_limited_per_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_guard, "HEAD_SECONDS", 30.0)
    async with limited(two_each("127.0.0.1")) as port, AsyncExitStack() as lines:
        many = [await lines.enter_async_context(connected(port)) for _ in range(5)]
        for line in many:
            await line.send(GET + b"\r\n")
            assert b"host; 0 bytes" in await line.until(b"0\r\n\r\n")


async def test_a_connection_that_becomes_a_websocket_is_no_longer_counted() -> None:
    limit = two_each()
    upgrade = handshake("ws://h/nothing", {})
    async with limited(limit) as port:
        for _ in range(4):
            async with connected(port) as one:
                await one.send(upgrade)
                await one.until(b"\r\n\r\n")
    assert len(limit._open) == limit._open.total == 0


# -- WebSockets on other paths than the hub's

websockets = FastAPI()


@websockets.websocket("/patient")
async def patient(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_text(await websocket.receive_text())
    await websocket.close()


@asynccontextmanager
async def served() -> AsyncGenerator[int]:
    async with run(
        uvicorn.Config(websockets, ws=WebSocketGuard, lifespan="off", log_config=None, access_log=False)
    ) as port:
        yield port


async def test_a_message_in_fragments_with_a_ping_between_them() -> None:
    async with served() as port, dialled(f"ws://127.0.0.1:{port}/patient") as client:
        await client.send(frame(b"hel", TEXT, fin=False) + frame(b"", PING) + frame(b"lo", CONT))
        assert (await client.receive_raw())[1] == b""
        assert await client.receive_raw() == (TEXT, b"hello")
        assert await client.closed() == 1000


async def test_handshakes_are_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with served() as port:
        caplog.clear()
        async with dialled(f"ws://127.0.0.1:{port}/patient") as client:
            await client.send(frame(b"hello", TEXT))
            await client.receive_raw()
            assert await client.closed() == 1000
        async with connected(port) as client:
            await client.send(handshake(f"ws://127.0.0.1:{port}/nothing", {}))
            assert (await client.until_eof())[:13] == b"HTTP/1.1 403 "
        assert caplog.messages == []


@pytest.mark.parametrize("flood", [frame(b"x" * 125, PING), frame(b"", CONT, fin=False)], ids=["pings", "fragments"])
async def test_a_flood_is_cut_off(flood: bytes) -> None:
    async with served() as port, dialled(f"ws://127.0.0.1:{port}/patient") as client:
        await client.send(frame(b"", TEXT, fin=False))
        async with asyncio.timeout(30):
            while await client.send(flood * 1000):
                pass


@pytest.mark.parametrize(
    ("more", "answer"),
    [({"Content-Length": "9"}, b"HTTP/1.1 400 "), ({"X-Long": "x" * 9000}, b"HTTP/1.1 431 ")],
    ids=["a body", "a long header"],
)
async def test_a_handshake_that_cannot_be_read_is_refused_at_once(more: dict[str, str], answer: bytes) -> None:
    async with served() as port, connected(port) as client:
        await client.send(handshake(f"ws://127.0.0.1:{port}/patient", more))
        assert (await client.until_eof())[:13] == answer
