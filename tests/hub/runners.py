"""Three ways to a hub for the vectors: no wire at all, any ASGI server, and the native transport."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator, Awaitable
from contextlib import asynccontextmanager, suppress
from typing import Any
from urllib.parse import quote

import uvicorn
from fastapi import FastAPI
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from hub.api.middleware import configure
from hub.api.page import HubPage
from hub.app import streaming_router
from hub.core.burst import Burst
from hub.core.connection import Connection
from hub.node import Hub
from hub.transports.admission import AdmissionRefused, AdmittedClient
from hub.transports.peers import Peer
from hub.wire.server_frames import ServerFrame
from tests.hub.vectors import Client, Closed, Dial

__all__ = ["RUNNERS", "asgi", "native", "without_wire"]


# -- no wire: the session, the channels, the log, and a list for an outlet ---------------------------------------------


class _Within:
    """A client in the same process; also the outlet of its connection."""

    def __init__(self) -> None:
        self.full = False
        self.connection: Connection | None = None
        self._came: asyncio.Queue[str | Closed] = asyncio.Queue()
        self._closed = False

    def deliver(self, burst: Burst) -> None:
        for text in burst.texts:
            self._put(text)

    def send(self, frame: ServerFrame) -> None:
        self.write(frame.encode())

    def write(self, frame: bytes) -> None:
        self._put(frame.decode())

    def unread(self) -> int:
        return 0

    def close(self, code: int, reason: str = "") -> None:  # noqa: ARG002
        self._put(Closed(code))
        self._closed = True

    def _put(self, said: str | Closed) -> None:
        if not self._closed:
            self._came.put_nowait(said)


class _Caller:
    """The client's side of it."""

    def __init__(self, hub: Hub, line: _Within, client: AdmittedClient | None) -> None:
        self._hub = hub
        self._line = line
        self._client = client

    async def send(self, frame: str | bytes) -> None:
        if self._line.connection is not None:
            self._line.connection.receive(frame)

    async def receive(self) -> str | Closed:
        return await self._line._came.get()

    async def close(self) -> None:
        if self._client is not None:
            self._hub.admission.leave(self._line.connection, self._client)
            self._client = None


@asynccontextmanager
async def without_wire(hub: Hub) -> AsyncGenerator[Dial]:
    """The session and the real channels over the real log; frames are handed over in memory."""

    async def dial(peer: Peer) -> Client:
        line = _Within()
        try:
            client = hub.admission.admit(peer)
            if isinstance(client, Awaitable):
                client = await client
        except AdmissionRefused as refusal:
            line.close(refusal.code)
            return _Caller(hub, line, None)
        line.connection = hub.admission.connect(line, client, "memory")
        hub.admission.begin(line.connection)
        return _Caller(hub, line, client)

    yield dial


# -- sockets -----------------------------------------------------------------------------------------------------------


class _Remote:
    """A client over a WebSocket."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection

    async def send(self, frame: str | bytes) -> None:
        with suppress(ConnectionClosed):
            await self._connection.send(frame)

    async def receive(self) -> str | Closed:
        try:
            said = await self._connection.recv()
        except ConnectionClosed as closed:
            return Closed(closed.rcvd.code if closed.rcvd else 1006)
        assert isinstance(said, str)
        return said

    async def close(self) -> None:
        await self._connection.close()


def _application(hub: Hub) -> FastAPI:
    """What `create_app` makes, without the routes for HTTP, which no vector uses and which take most of its time."""
    app = FastAPI()
    app.include_router(streaming_router(hub))
    configure(app, hub.settings, HubPage())
    return app


@asynccontextmanager
async def _served(hub: Hub, ws: Any) -> AsyncGenerator[Dial]:
    """The hub behind uvicorn, on a port of its own."""
    bound = socket.create_server(("127.0.0.1", 0))
    port = bound.getsockname()[1]
    config = uvicorn.Config(
        _application(hub),
        ws=ws,
        ws_max_size=hub.settings.max_frame_bytes,
        ws_per_message_deflate=False,
        lifespan="off",
        log_config=None,
        access_log=False,
    )
    server = uvicorn.Server(config)
    config.load()
    server.lifespan = config.lifespan_class(config)
    await server.startup(sockets=[bound])

    async def dial(peer: Peer) -> Client:
        ticket = f"?ticket={quote(peer.ticket)}" if peer.ticket else ""
        return _Remote(
            await connect(
                f"ws://127.0.0.1:{port}/ws/streaming{ticket}",
                additional_headers={"Authorization": peer.authorization} if peer.authorization else None,
                origin=peer.origin,  # type: ignore[arg-type]
                compression=None,
                proxy=None,
            )
        )

    try:
        yield dial
    finally:
        for listening in server.servers:  # the clients have left; uvicorn's own shutdown would wait to see it
            listening.close()
            await listening.wait_closed()


def asgi(hub: Hub) -> Any:
    """The ASGI transport, as any server runs it."""
    return _served(hub, "websockets-sansio")


def native(hub: Hub) -> Any:
    """The native transport, as `plancast serve` runs it."""
    return _served(hub, hub.native.protocol)


RUNNERS = {"no wire": without_wire, "asgi": asgi, "native": native}
