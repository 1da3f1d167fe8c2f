"""The WebSocket transport for any ASGI server, and inside anybody's FastAPI or Starlette app."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextlib import suppress
from typing import Final

from starlette.websockets import WebSocket, WebSocketDisconnect

from hub.core.burst import Burst
from hub.transports.door import Admission, Door, Refused
from hub.transports.line import Line
from hub.transports.visitors import visitor_of
from hub.wire.codes import CloseCode

__all__ = ["serve_websocket"]

CLOSING_SECONDS: Final = 5.0
"""How long a client may take to read what is left."""


async def serve_websocket(door: Door, websocket: WebSocket) -> None:
    """Serve one client, from its handshake to its end."""
    try:
        admission = door.admit(visitor_of(websocket))
        if isinstance(admission, Awaitable):
            admission = await admission
    except Refused as refusal:
        # Accepted first and closed then, because a page sees a close code but not the status of a refused handshake.
        await websocket.accept()
        await websocket.close(refusal.code, refusal.reason)
        return
    await _serve(door, websocket, admission)


async def _serve(door: Door, websocket: WebSocket, admission: Admission) -> None:
    line = Line(door.waters)
    connection = line.connection = door.connect(line, admission, "asgi")
    try:
        await websocket.accept()
        door.begin(connection)
        sending = asyncio.create_task(_send(line, websocket))
        receiving = asyncio.create_task(_receive(line, websocket))
        try:
            await line.ended.wait()
            await asyncio.wait({sending}, timeout=CLOSING_SECONDS)
        finally:
            for task in (sending, receiving):
                task.cancel()
            await asyncio.gather(sending, receiving, return_exceptions=True)
    finally:
        door.leave(connection, admission)


async def _send(line: Line, websocket: WebSocket) -> None:
    with suppress(WebSocketDisconnect, RuntimeError, OSError):  # gone: the receiver hears of it
        while waiting := await line.take():
            for item in waiting:
                for text in item.texts if isinstance(item, Burst) else (item.decode(),):
                    await websocket.send_text(text)
        if line.ending is not None:
            await websocket.close(*line.ending)


async def _receive(line: Line, websocket: WebSocket) -> None:
    connection = line.connection
    if connection is None:
        raise RuntimeError("a line without a connection")
    while line.ending is None:
        message = await websocket.receive()
        if message["type"] == "websocket.disconnect":
            line.close(CloseCode.NORMAL, "")
            return
        text = message.get("text")
        connection.receive(text if text is not None else b"")
