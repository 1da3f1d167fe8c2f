"""What comes before a request is whole: uvicorn's HTTP protocol, with the bounds of time and size that it lacks.

Without them, a client that sends half a request, or headers without end, is kept for as long as it likes and costs as
much as it likes, before anybody asks who it is.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Final

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from hub.config.limits import ConnectionLimits
from hub.core.counts import HubCounts
from hub.core.shares import ConnectionCounts, TooManyConnections
from hub.transports.visitors import Proxies

__all__ = ["Crowd", "Doorstep"]

log = logging.getLogger(__name__)

LINES_PER_CONNECTION: Final = 2
"""A browser that watches a plan has another line or two, for a moment each."""


class Crowd:
    """All lines of a process before they are somebody's connection."""

    def __init__(self, limits: ConnectionLimits, proxies: Proxies, counts: HubCounts) -> None:
        most = limits.per_address * LINES_PER_CONNECTION
        self._lines = ConnectionCounts(ConnectionLimits(per_address=most, total=limits.total * LINES_PER_CONNECTION))
        self._proxies = proxies
        self._counts = counts

    def enter(self, address: str | None) -> str | None:
        """Count a line from this address; None when it holds too many. Give the answer to `leave`, exactly once.

        A proxy that is believed speaks for many, and counts in the total only."""
        try:
            return self._lines.enter(None if self._proxies.believed(address) else address)
        except TooManyConnections as full:
            self._counts.refused_connections[full.kind] += 1
            log.warning("a line was closed at once: %s", full, extra={"address": address})
            return None

    def leave(self, place: str) -> None:
        self._lines.leave(place)


HEAD_SECONDS: Final = 10.0
"""A request line and headers take no longer, even over a bad line. Nor does a connection that says nothing at all."""
HEAD_BYTES: Final = 64 * 1024
MESSAGE_BYTES: Final = 16 * 1024 * 1024
"""Far more than any body that a route takes; here only so that there is a bound."""
REST_SECONDS: Final = 5.0
"""So long may the rest of a body take that was answered already, and a client that was refused to read why."""


class Doorstep(HttpToolsProtocol):
    """One HTTP connection. Hand the class to uvicorn as `http=`, with the crowd that it is counted in, if any."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        crowd: Crowd | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._crowd = crowd
        self._place: str | None = None
        self._patience: asyncio.TimerHandle | None = None
        self._in_head = True
        self._came = 0  # bytes of the message that is coming
        self._head = 0  # bytes of its head that the parser has seen
        self._answering = False
        self._refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if self._crowd is not None:
            self._place = self._crowd.enter(self.client[0] if self.client else None)
            if self._place is None:
                self._refused = True
                transport.abort()
                return
        self._wait(HEAD_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        self._wait_no_more()
        self._leave()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        self._came += len(data)
        super().data_received(data)
        if self._patience is None and not self._answering:
            self._wait(HEAD_SECONDS)  # it says something, and not even a request has begun
        if self._came > (HEAD_BYTES if self._in_head else MESSAGE_BYTES):
            self._refuse(b"431 Request Header Fields Too Large" if self._in_head else b"413 Content Too Large")

    def handle_websocket_upgrade(self) -> None:
        self._wait_no_more()
        if self._answering:  # whoever answers would never hear that the line is another one's, nor that it ended
            self.transport.abort()
        else:
            self._answering = True
            self._leave()
            super().handle_websocket_upgrade()
            self.parser = None  # type: ignore[assignment]  # it holds this object's methods

    def _leave(self) -> None:
        place, self._place = self._place, None
        if self._crowd is not None and place is not None:
            self._crowd.leave(place)

    # -- the parser's side ---------------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head, self._came, self._head = True, 1, 0  # the piece it began in is not looked into
        self._wait(HEAD_SECONDS)

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        self._head += len(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head:  # what comes behind a body is no header, whatever it says
            super().on_header(name, value)
            self._head += len(name) + len(value) + len(b": \r\n")

    def on_headers_complete(self) -> None:
        before = self.cycle
        if (fault := self._fault()) is not None:
            self._refuse(fault)
            raise ValueError(fault)  # the parser stops here
        self._in_head = False
        super().on_headers_complete()
        if self.cycle is not before:  # somebody works on it; else it is an upgrade, and has to become one soon
            self._answering = True
            self._wait_no_more()

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._wait_no_more()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._answering = not self.cycle.response_complete
        if self.cycle.more_body and not self._answering:
            self._wait(REST_SECONDS)

    def _fault(self) -> bytes | None:
        """What is wrong with a head that is whole, if anything is."""
        parser: Any = self.parser  # there is one while it calls this
        version = parser.get_http_version()
        if self._head > HEAD_BYTES:
            return b"431 Request Header Fields Too Large"
        if version not in ("1.0", "1.1"):
            return b"505 HTTP Version Not Supported"
        if version == "1.0" and parser.should_upgrade() and self._should_upgrade():
            return b"400 Bad Request"  # uvicorn would pass it on as HTTP/1.1
        return None

    def send_400_response(self, msg: str) -> None:
        if not self._refused:
            super().send_400_response(msg)

    # -- patience ------------------------------------------------------------------------------------------------------

    def _wait(self, seconds: float) -> None:
        self._wait_no_more()
        self._patience = self.loop.call_later(seconds, self._lose_patience)

    def _wait_no_more(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _lose_patience(self) -> None:
        self._patience = None
        if self._in_head and self._came and not self._refused:
            self._refuse(b"408 Request Timeout")
        else:
            self.transport.abort()

    def _refuse(self, why: bytes) -> None:
        """Say why, and let the client read it: to close on what it still sends would take the answer from it."""
        self._refused = True
        self._unset_keepalive_if_required()
        if self._answering:
            self.transport.abort()
        elif not self.transport.is_closing():
            self.transport.write(b"HTTP/1.1 %b\r\nconnection: close\r\ncontent-length: 0\r\n\r\n" % why)
            if self.transport.can_write_eof():
                self.transport.write_eof()
            self._wait(REST_SECONDS)
