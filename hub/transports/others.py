"""WebSockets on other paths than the hub's own: uvicorn's ordinary protocol, with bounds that it lacks."""

from __future__ import annotations

import logging
from typing import Any, Final

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from hub.transports.sans_io import answer_to, release

__all__ = ["OtherSocket"]

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
