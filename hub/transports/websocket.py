"""The WebSocket transport for any ASGI server, also inside another FastAPI or Starlette application."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Final

from starlette.websockets import WebSocket, WebSocketDisconnect

from hub.core.burst import Burst
from hub.core.connection import Connection
from hub.transports.admission import AdmissionControl, AdmissionRefused, AdmittedClient
from hub.transports.peers import Peer, peer_of
from hub.transports.pull_outlet import ControlFrame, Item, PullOutlet
from hub.wire.codes import CloseCode

__all__ = ["DISCONNECTED", "serve_websocket"]

log = logging.getLogger(__name__)

CLOSING_SECONDS: Final = 5.0
"""How long a client may take to read what is left."""
DISCONNECTED: Final = (WebSocketDisconnect, RuntimeError, OSError)
"""What servers and Starlette raise when something is sent to a client that has disconnected."""


Connect = Callable[[PullOutlet, AdmittedClient], tuple[Connection, Callable[[str | bytes], None]]]
"""Makes an admitted client's connection, which has not begun yet, and the function that handles its frames."""


async def serve_websocket(admission: AdmissionControl, websocket: WebSocket, connect: Connect | None = None) -> None:
    """Serves one client, from its handshake to its end. `connect` is for clients that use a dialect."""

    def connect_directly(
        outlet: PullOutlet, client: AdmittedClient
    ) -> tuple[Connection, Callable[[str | bytes], None]]:
        connection = admission.connect(outlet, client, "asgi")
        return connection, lambda frame: connection.receive(frame)

    peer = peer_of(websocket)
    try:
        client = admission.admit(peer)
        if isinstance(client, Awaitable):
            client = await client
    except AdmissionRefused as refusal:
        with suppress(*DISCONNECTED):
            await _refuse(admission, websocket, peer, refusal)
    else:
        await _serve(admission, websocket, client, connect or connect_directly)


async def _refuse(admission: AdmissionControl, websocket: WebSocket, peer: Peer, refusal: AdmissionRefused) -> None:
    """Accepts first and closes then, because a page sees a close code but not the status of a refused handshake."""
    loop = asyncio.get_running_loop()
    with suppress(TimeoutError):
        async with asyncio.timeout(None) as held_until:
            held = admission.refusals.hold(
                peer.address, peer.origin, refusal.code, lambda: held_until.reschedule(loop.time())
            )
            try:
                if held.accepted:
                    await websocket.accept()
                    held.begin()
                    await _discard(websocket, admission.limits.session.frames_burst)
            finally:
                held.leave()
    await websocket.close(refusal.code, refusal.reason)


async def _discard(websocket: WebSocket, limit: int) -> None:
    """Discards the client's messages, until there were `limit` of them or it disconnects."""
    for _ in range(limit):
        if (await websocket.receive())["type"] == "websocket.disconnect":
            return


async def _serve(admission: AdmissionControl, websocket: WebSocket, client: AdmittedClient, connect: Connect) -> None:
    outlet, connection = PullOutlet(admission.waters), None
    try:
        connection, handle = connect(outlet, client)
        outlet.connection = connection
        try:
            await websocket.accept()
        except DISCONNECTED:
            return
        admission.begin(connection)
        sending = asyncio.create_task(_guarded(connection, outlet, _send(outlet, websocket)))
        receiving = asyncio.create_task(_guarded(connection, outlet, _receive(handle, outlet, websocket)))
        try:
            await outlet.ended.wait()
            with suppress(TimeoutError, *DISCONNECTED):
                async with asyncio.timeout(CLOSING_SECONDS):
                    await sending
                    await websocket.close(*(outlet.ending or (CloseCode.NORMAL, "")))
        finally:
            for task in (sending, receiving):
                task.cancel()
            await asyncio.gather(sending, receiving, return_exceptions=True)
    finally:
        admission.leave(connection, client)


async def _guarded(connection: Connection, outlet: PullOutlet, work: Awaitable[None]) -> None:
    """Closes the connection if the work fails; other connections are not affected."""
    try:
        await work
    except Exception as error:
        log.error("connection %s: %s", connection.session.connection_id, error, exc_info=error)
        connection.lost()
        outlet.close(CloseCode.INTERNAL, "the hub has an internal error")


async def _send(outlet: PullOutlet, websocket: WebSocket) -> None:
    while await _send_waiting(outlet, websocket):
        pass


async def _send_waiting(outlet: PullOutlet, websocket: WebSocket) -> bool:
    """Sends what waits, as soon as something does. Returns False when the outlet is closed and empty, or the client gone.

    A coroutine of its own, so that no frame is kept in memory while the connection is idle."""
    waiting = await outlet.take()
    for item in waiting:
        for text in _texts(item):
            try:
                await websocket.send_text(text)
            except DISCONNECTED:
                return False  # `_receive` closes the outlet
    return bool(waiting)


def _texts(item: Item) -> Sequence[str]:
    match item:
        case Burst():
            return item.texts
        case ControlFrame(encoded=encoded):
            return (encoded.decode(),)
        case bytes():
            return (item.decode(),)


async def _receive(handle: Callable[[str | bytes], None], outlet: PullOutlet, websocket: WebSocket) -> None:
    while outlet.ending is None:
        message = await websocket.receive()
        if message["type"] == "websocket.disconnect":
            outlet.close(CloseCode.NORMAL, "")
            return
        text = message.get("text")
        handle(text if text is not None else b"")
