"""The WebSocket transport for any ASGI server, and inside anybody's FastAPI or Starlette app."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from starlette.websockets import WebSocket, WebSocketDisconnect

from hub.core.burst import Burst
from hub.core.connection import Connection
from hub.transports.admission import Admission, Door, Refused, Visitor
from hub.transports.pull_outlet import Line
from hub.transports.visitors import visitor_of
from hub.wire.codes import CloseCode

__all__ = ["serve_websocket"]

log = logging.getLogger(__name__)

CLOSING_SECONDS: Final = 5.0
"""How long a client may take to read what is left."""
GONE: Final = (WebSocketDisconnect, RuntimeError, OSError)
"""What servers and Starlette raise when something is sent to a client that isn't there any more."""


Connect = Callable[[Line, Admission], tuple[Connection, Callable[[str | bytes], None]]]
"""Makes the connection of a client that was let in, not begun yet; and who is to be given the frames that come."""


async def serve_websocket(door: Door, websocket: WebSocket, connect: Connect | None = None) -> None:
    """Serve one client, from its handshake to its end. `connect`: for clients that speak a dialect."""

    def directly(line: Line, admission: Admission) -> tuple[Connection, Callable[[str | bytes], None]]:
        connection = door.connect(line, admission, "asgi")
        return connection, lambda frame: connection.receive(frame)

    visitor = visitor_of(websocket)
    try:
        admission = door.admit(visitor)
        if isinstance(admission, Awaitable):
            admission = await admission
    except Refused as refusal:
        with suppress(*GONE):
            await _refuse(door, websocket, visitor, refusal)
    else:
        await _serve(door, websocket, admission, connect or directly)


async def _refuse(door: Door, websocket: WebSocket, visitor: Visitor, refusal: Refused) -> None:
    """Accept first and close then, because a page sees a close code but not the status of a refused handshake."""
    loop = asyncio.get_running_loop()
    with suppress(TimeoutError):
        async with asyncio.timeout(None) as held_until:
            held = door.refusals.hold(
                visitor.address, visitor.origin, refusal.code, lambda: held_until.reschedule(loop.time())
            )
            try:
                if held.accepted:
                    await websocket.accept()
                    held.begin()
                    await _ignore(websocket, door.limits.session.frames_burst)
            finally:
                held.leave()
    await websocket.close(refusal.code, refusal.reason)


async def _ignore(websocket: WebSocket, most: int) -> None:
    """What the client says, until it has said so much, or leaves."""
    for _ in range(most):
        if (await websocket.receive())["type"] == "websocket.disconnect":
            return


async def _serve(door: Door, websocket: WebSocket, admission: Admission, connect: Connect) -> None:
    line, connection = Line(door.waters), None
    try:
        connection, hear = connect(line, admission)
        line.connection = connection
        try:
            await websocket.accept()
        except GONE:
            return  # it has gone already
        door.begin(connection)
        sending = asyncio.create_task(_unless_it_fails(connection, line, _send(line, websocket)))
        receiving = asyncio.create_task(_unless_it_fails(connection, line, _receive(hear, line, websocket)))
        try:
            await line.ended.wait()
            with suppress(TimeoutError, *GONE):
                async with asyncio.timeout(CLOSING_SECONDS):
                    await sending
                    await websocket.close(*(line.ending or (CloseCode.NORMAL, "")))
        finally:
            for task in (sending, receiving):
                task.cancel()
            await asyncio.gather(sending, receiving, return_exceptions=True)
    finally:
        door.leave(connection, admission)


async def _unless_it_fails(connection: Connection, line: Line, work: Awaitable[None]) -> None:
    """A mistake of ours costs this client its line, and nobody else anything."""
    try:
        await work
    except Exception as error:
        log.error("connection %s: %s", connection.session.connection_id, error, exc_info=error)
        connection.lost()
        line.close(CloseCode.INTERNAL, "something in the hub failed")


async def _send(line: Line, websocket: WebSocket) -> None:
    while waiting := await line.take():
        for item in waiting:
            for text in item.texts if isinstance(item, Burst) else (item.decode(),):
                try:
                    await websocket.send_text(text)
                except GONE:
                    return  # the receiver hears of it


async def _receive(hear: Callable[[str | bytes], None], line: Line, websocket: WebSocket) -> None:
    while line.ending is None:
        message = await websocket.receive()
        if message["type"] == "websocket.disconnect":
            line.close(CloseCode.NORMAL, "")
            return
        text = message.get("text")
        hear(text if text is not None else b"")
