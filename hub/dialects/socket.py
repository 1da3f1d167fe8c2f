"""A dialect's WebSocket: the hub's own, with an interpreter."""

from __future__ import annotations

from collections.abc import Callable

from starlette.websockets import WebSocket

from hub.core.connection import Connection
from hub.dialects.dialect import Speaker
from hub.dialects.interpreter import Interpreter
from hub.node import Hub
from hub.transports.admission import Admission
from hub.transports.pull_outlet import Line
from hub.transports.websocket import serve_websocket

__all__ = ["serve_dialect"]


async def serve_dialect(hub: Hub, websocket: WebSocket, speaker: Speaker) -> None:
    """Serve one client of a dialect, from its handshake to its end; the speaker is this client's alone."""
    interpreters: list[Interpreter] = []

    def connect(line: Line, admission: Admission) -> tuple[Connection, Callable[[str | bytes], None]]:
        interpreter = Interpreter(hub, line, speaker)
        interpreter.connection = hub.door.connect(interpreter, admission, "asgi")
        interpreters.append(interpreter)
        return interpreter.connection, interpreter.hear

    try:
        await serve_websocket(hub.door, websocket, connect)
    finally:
        for interpreter in interpreters:
            await interpreter.finish()
