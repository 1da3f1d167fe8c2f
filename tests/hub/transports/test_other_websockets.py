"""WebSockets on paths that are not the hub's: as uvicorn has them, but bounded."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
import uvicorn
from fastapi import FastAPI, WebSocket

from hub.transports.other_websockets import OtherSocket
from tests.faults.raw_socket import CONT, PING, TEXT, connected, dialled, frame, handshake
from tests.hub.transports.serving import run

app = FastAPI()


@app.websocket("/patient")
async def patient(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_text(await websocket.receive_text())
    await websocket.close()


@asynccontextmanager
async def served() -> AsyncGenerator[int]:
    async with run(uvicorn.Config(app, ws=OtherSocket, lifespan="off", log_config=None, access_log=False)) as port:
        yield port


async def test_what_it_is_for() -> None:
    async with served() as port, dialled(f"ws://127.0.0.1:{port}/patient") as client:
        await client.send(frame(b"hel", TEXT, fin=False) + frame(b"", PING) + frame(b"lo", CONT))
        assert (await client.receive_raw())[1] == b""
        assert await client.receive_raw() == (TEXT, b"hello")
        assert await client.closed() == 1000


async def test_nobody_fills_the_log_by_knocking(caplog: pytest.LogCaptureFixture) -> None:
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
async def test_what_can_never_become_a_websocket_is_not_waited_for(more: dict[str, str], answer: bytes) -> None:
    async with served() as port, connected(port) as client:
        await client.send(handshake(f"ws://127.0.0.1:{port}/patient", more))
        assert (await client.until_eof())[:13] == answer
