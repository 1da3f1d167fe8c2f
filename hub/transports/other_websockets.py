"""WebSockets on other paths than the hub's own: uvicorn's ordinary protocol, with bounds that it lacks."""

from __future__ import annotations

import logging
from typing import Any, Final

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.exceptions import SecurityError
from websockets.server import ServerProtocol

__all__ = ["OtherSocket", "answer_to", "release"]


def answer_to(unreadable: Exception) -> bytes:
    """The whole response; then the line is closed."""
    beyond_measure = isinstance(unreadable.__cause__, SecurityError)
    status = b"431 Request Header Fields Too Large" if beyond_measure else b"400 Bad Request"
    return b"HTTP/1.1 %b\r\nconnection: close\r\ncontent-length: 0\r\n\r\n" % status


def release(websocket: ServerProtocol) -> None:
    """Break the reference cycles of a protocol whose connection has ended: it can't be used any more.

    Its parser is a generator that refers to it, and so do the frames of what the parser raised. Left alone, each of them
    stays in memory until the next full garbage collection."""
    websocket.parser.close()
    for error in (websocket.parser_exc, websocket.handshake_exc):
        if error is not None:
            error.__traceback__ = None


protocol_log = logging.getLogger(f"{__name__}.protocol")
protocol_log.setLevel(logging.WARNING)  # it tells of each connection that opens, and of each that is refused

UNREAD_BYTES: Final = 1024 * 1024
FRAGMENTS: Final = 1024


class OtherSocket(WebSocketsSansIOProtocol):
    """Ends what can never become a WebSocket, and cuts the line of a client that asks for pongs and reads none, or
    whose message never ends."""

    def __init__(self, *made_of: Any, **named: Any) -> None:
        super().__init__(*made_of, **named)
        self.logger = self.conn.logger = protocol_log

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if (unreadable := self.conn.handshake_exc) is not None and not self.handshake_initiated:
            self.transport.write(b"".join(self.conn.data_to_send()) or answer_to(unreadable))
            self.transport.close()
        elif self.transport.get_write_buffer_size() > UNREAD_BYTES or len(self.frames) > FRAGMENTS:
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        release(self.conn)
