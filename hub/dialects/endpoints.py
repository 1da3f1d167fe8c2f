"""Where dialects are served: on a WebSocket, and as an HTTP response for clients that only listen."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Final

from fastapi import Request
from starlette.websockets import WebSocket

from hub.access.principal import Principal
from hub.core.connection import Connection
from hub.dialects.dialect import Dialect, SendFrame
from hub.dialects.interpreter import Encode, Interpreter, as_text
from hub.node import Hub
from hub.transports.admission import AdmittedClient
from hub.transports.peers import peer_of
from hub.transports.pull_outlet import ControlFrame, PullOutlet
from hub.transports.websocket import serve_websocket

__all__ = ["KEEP_ALIVE", "DialectStream", "as_message", "serve_dialect"]

KEEP_ALIVE_SECONDS: Final = 15.0
KEEP_ALIVE: Final = b": still here\n\n"


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


class DialectStream:
    """A dialect's frames for the client that made a request. Counts as a connection; raises `AdmissionRefused`.

    Pass `frames()`, `outlet.ended` and `leave` to a `StreamedResponse`, or read `frames()` to its end and close it.
    """

    def __init__(
        self, hub: Hub, request: Request, principal: Principal, dialect: Dialect, encode: Encode = as_text
    ) -> None:
        self.outlet = PullOutlet(hub.admission.waters)
        self._admission = hub.admission
        self._client = hub.admission.admit_principal(peer_of(request), principal)
        self._interpreter = Interpreter(hub, self.outlet, dialect, encode)
        self._connection = hub.admission.connect(self._interpreter, self._client, "sse")
        self.outlet.connection = self._interpreter.connection = self._connection
        self._here = True

    async def frames(self) -> AsyncGenerator[bytes]:
        """Yields the frames, and `KEEP_ALIVE` from time to time when there are none."""
        try:
            self._admission.begin(self._connection)
            while True:
                try:
                    async with asyncio.timeout(KEEP_ALIVE_SECONDS):
                        waiting = await self.outlet.take()
                except TimeoutError:
                    yield KEEP_ALIVE
                    continue
                if not waiting:
                    return
                for item in waiting:
                    if isinstance(item, bytes):
                        yield item
                    elif isinstance(item, ControlFrame):
                        yield item.encoded
        finally:
            self.leave()
            await self._interpreter.finish()

    def leave(self) -> None:
        """Counts the client no longer; it has gone. May be called again."""
        if self._here:
            self._here = False
            self._admission.leave(self._connection, self._client)
