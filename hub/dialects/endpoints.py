"""Where dialects are served: on a WebSocket, and as an HTTP response for clients that only listen."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from fastapi import Request
from starlette.websockets import WebSocket

from hub.access.principal import Principal
from hub.core.connection import Connection
from hub.dialects.dialect import Dialect, SendFrame
from hub.dialects.interpreter import Encode, Interpreter, as_text
from hub.node import Hub
from hub.transports.admission import AdmittedClient
from hub.transports.http_stream import HttpStream
from hub.transports.peers import peer_of
from hub.transports.pull_outlet import PullOutlet
from hub.transports.websocket import serve_websocket

__all__ = ["DialectStream", "as_message", "serve_dialect"]


async def serve_dialect(hub: Hub, websocket: WebSocket, dialect: Dialect) -> None:
    """Serves one client of a dialect, from its handshake to its end. `dialect` must be this client's own object."""
    interpreters: list[Interpreter] = []

    def connect(outlet: PullOutlet, client: AdmittedClient) -> tuple[Connection, Callable[[str | bytes], None]]:
        interpreter = Interpreter(hub, outlet, dialect)
        interpreter.connection = hub.admission.connect(interpreter, client, "asgi")
        interpreters.append(interpreter)
        return interpreter.connection, interpreter.receive

    try:
        await serve_websocket(hub.admission, websocket, connect)
    finally:
        for interpreter in interpreters:
            await interpreter.finish()


def as_message(action: SendFrame) -> bytes:
    """Encodes a frame as a server-sent event. Its id is its position, which a browser that reconnects sends back."""
    position = action.position
    event_id = b"id: %b:%d\n" % (position.epoch.encode(), position.offset) if position else b""
    return b"%bdata: %b\n\n" % (event_id, as_text(action))


class DialectStream(HttpStream[Interpreter]):
    """A dialect's frames for the client that made a request."""

    def __init__(
        self, hub: Hub, request: Request, principal: Principal, dialect: Dialect, encode: Encode = as_text
    ) -> None:
        super().__init__(
            hub.admission, peer_of(request), principal, lambda outlet: Interpreter(hub, outlet, dialect, encode)
        )
        self.writer.connection = self.connection

    async def frames(self) -> AsyncGenerator[bytes]:
        try:
            async with aclosing(super().frames()) as frames:
                async for frame in frames:
                    yield frame
        finally:
            await self.writer.finish()
