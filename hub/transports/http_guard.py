"""uvicorn's HTTP and WebSocket protocols with the limits of time and size that they lack.

Without them, a client that sends half a request, or headers without end, is kept for as long as it likes and uses as
much memory as it likes, before it is authenticated.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Final, cast

from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.exceptions import SecurityError
from websockets.server import ServerProtocol

from hub.config.limits import ConnectionLimits
from hub.core.counts import HubCounts
from hub.core.shares import ConnectionCounts, TooManyConnections
from hub.transports.peers import Proxies
from hub.transports.pull_outlet import WRITES_AT_ONCE

__all__ = ["HttpConnectionLimit", "HttpGuard", "PathSwitch", "WebSocketGuard", "handshake_refusal", "release"]

log = logging.getLogger(__name__)
protocol_log = logging.getLogger(f"{__name__}.protocol")
protocol_log.setLevel(logging.WARNING)  # below that, it logs every connection that opens or is refused

PER_CLIENT: Final = 2
"""TCP connections per client connection: a browser that watches a plan opens one or two others for a moment."""


class HttpConnectionLimit:
    """Counts a process's TCP connections per address until they become WebSockets. Connections from trusted proxies
    count in the total only, because a proxy carries many clients."""

    def __init__(self, limits: ConnectionLimits, proxies: Proxies, counts: HubCounts) -> None:
        per_address = limits.per_address * PER_CLIENT
        self._open = ConnectionCounts(ConnectionLimits(per_address=per_address, total=limits.total * PER_CLIENT))
        self._proxies = proxies
        self._counts = counts

    def enter(self, address: str | None) -> str | None:
        """Counts a connection from this address. Pass the result to `leave` exactly once. None: the limit is reached."""
        try:
            return self._open.enter(None if self._proxies.trusts(address) else address)
        except TooManyConnections as full:
            self._counts.refused_connections[full.kind] += 1
            log.warning("a connection was closed at once: %s", full, extra={"address": address})
            return None

    def leave(self, counted: str) -> None:
        self._open.leave(counted)


HEAD_SECONDS: Final = 10.0
"""How long a request line with its headers may take, and how long a connection may send nothing."""
HEAD_BYTES: Final = 64 * 1024
MESSAGE_BYTES: Final = 16 * 1024 * 1024
"""An upper bound only; each route has a limit of its own that is far lower."""
REST_SECONDS: Final = 5.0
"""How long the rest of a body may take after the response, and a refused client may take to read why."""


class _BodyWriter:
    """Writes pieces of a chunked response to its connection at once: without a task that must be woken, and without the
    layers of an ASGI application."""

    def __init__(self, transport: asyncio.Transport, flow: FlowControl) -> None:
        self._transport = transport
        self._flow = flow

    def write(self, piece: bytes) -> bool:
        """False: the client does not read fast enough, or is gone, and nothing was written."""
        if not piece or self._flow.write_paused or self._transport.is_closing():  # an empty piece would be the end
            return False
        self._transport.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        return True


class HttpGuard(HttpToolsProtocol):
    """One HTTP connection. Pass the class to uvicorn as `http=`, with the limit that its connections count against.

    With `writes_bodies`, streams write to the connection without passing through the application: for the hub's own
    application, in which nothing changes bodies."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        limit: HttpConnectionLimit | None = None,
        writes_bodies: bool = False,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._writes_bodies = writes_bodies
        self._limit = limit
        self._counted: str | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._in_head = True
        self._received = 0  # bytes of the current message
        self._head = 0  # bytes of its head, as parsed
        self._answering = False
        self._refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if self._limit is not None:
            self._counted = self._limit.enter(self.client[0] if self.client else None)
            if self._counted is None:
                self._refused = True
                transport.abort()
                return
        self._start_timer(HEAD_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        self._leave()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        self._received += len(data)
        super().data_received(data)
        if self._timer is None and not self._answering:
            self._start_timer(HEAD_SECONDS)  # bytes came, and no request has begun
        if self._received > (HEAD_BYTES if self._in_head else MESSAGE_BYTES):
            self._refuse(b"431 Request Header Fields Too Large" if self._in_head else b"413 Content Too Large")

    def handle_websocket_upgrade(self) -> None:
        self._stop_timer()
        if self._answering:  # the request before would never learn that its connection was taken over, or closed
            self.transport.abort()
        else:
            self._answering = True
            self._leave()
            super().handle_websocket_upgrade()
            self.parser = None  # type: ignore[assignment]  # it refers to this object's methods

    def _leave(self) -> None:
        counted, self._counted = self._counted, None
        if self._limit is not None and counted is not None:
            self._limit.leave(counted)

    # -- called by the parser ------------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head, self._received, self._head = True, 1, 0  # where in the received piece it began is unknown
        self._start_timer(HEAD_SECONDS)

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        self._head += len(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head:  # a trailer, behind a body, is no header
            super().on_header(name, value)
            self._head += len(name) + len(value) + len(b": \r\n")

    def on_headers_complete(self) -> None:
        before = self.cycle
        if (fault := self._fault()) is not None:
            self._refuse(fault)
            raise ValueError(fault)  # stops the parser
        self._in_head = False
        super().on_headers_complete()
        if self.cycle is not before:  # the application handles it; otherwise it is an upgrade, which has its timer
            self._answering = True
            self._stop_timer()
            if self._writes_bodies:
                scope: dict[str, Any] = cast("Any", self.cycle.scope)
                scope["extensions"] = {WRITES_AT_ONCE: _BodyWriter(self.transport, self.flow).write}

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._stop_timer()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._answering = not self.cycle.response_complete
        if self.cycle.more_body and not self._answering:
            self._start_timer(REST_SECONDS)

    def _fault(self) -> bytes | None:
        """Returns the status that refuses a complete head, or None if it is valid."""
        parser: Any = self.parser  # never None while it calls this
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

    # -- timeouts ------------------------------------------------------------------------------------------------------

    def _start_timer(self, seconds: float) -> None:
        self._stop_timer()
        self._timer = self.loop.call_later(seconds, self._time_out)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _time_out(self) -> None:
        self._timer = None
        if self._in_head and self._received and not self._refused:
            self._refuse(b"408 Request Timeout")
        else:
            self.transport.abort()

    def _refuse(self, status: bytes) -> None:
        """Sends the status and lets the client read it: closing while it still sends would discard the response."""
        self._refused = True
        self._unset_keepalive_if_required()
        if self._answering:
            self.transport.abort()
        elif not self.transport.is_closing():
            self.transport.write(_response(status))
            if self.transport.can_write_eof():
                self.transport.write_eof()
            self._start_timer(REST_SECONDS)


# -- WebSockets ------------------------------------------------------------------------------------------------------

UNREAD_BYTES: Final = 1024 * 1024
FRAGMENTS: Final = 1024


class PathSwitch(asyncio.Protocol):
    """The protocol of a WebSocket connection until its request line is known; then it hands over to another."""

    def __init__(self, protocol_for: Callable[[bytes], asyncio.Protocol]) -> None:
        self._protocol_for = protocol_for
        self._real: asyncio.Protocol | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self._real is None:
            self._real = self._protocol_for(data)
            self._real.connection_made(self._transport)
            # uvicorn sets this object as the transport's protocol after this call; the real one replaces it right after.
            asyncio.get_running_loop().call_soon(self._hand_over)
        self._real.data_received(data)

    def _hand_over(self) -> None:
        if self._real is not None and not self._transport.is_closing():
            self._transport.set_protocol(self._real)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._real is not None:
            self._real.connection_lost(exc)

    def pause_writing(self) -> None:
        if self._real is not None:
            self._real.pause_writing()

    def resume_writing(self) -> None:
        if self._real is not None:
            self._real.resume_writing()


class WebSocketGuard(WebSocketsSansIOProtocol):
    """A WebSocket on another path than the hub's own. Refuses handshakes that can't be read, and drops clients that
    send pings without reading the pongs, or a message in too many fragments. Pass the class to uvicorn as `ws=`.
    `message_bytes`: the largest message, if it is not `ws_max_size`."""

    def __init__(self, *args: Any, message_bytes: int | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.logger = self.conn.logger = protocol_log
        if message_bytes is not None:
            self.conn.max_message_size = message_bytes

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if (error := self.conn.handshake_exc) is not None and not self.handshake_initiated:
            self.transport.write(b"".join(self.conn.data_to_send()) or handshake_refusal(error))
            self.transport.close()
        elif self.transport.get_write_buffer_size() > UNREAD_BYTES or len(self.frames) > FRAGMENTS:
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        release(self.conn)


def handshake_refusal(error: Exception) -> bytes:
    """Returns the whole response to a handshake that can't be read."""
    too_large = isinstance(error.__cause__, SecurityError)
    return _response(b"431 Request Header Fields Too Large" if too_large else b"400 Bad Request")


def release(websocket: ServerProtocol) -> None:
    """Breaks the reference cycles of a protocol whose connection has ended. It can't be used any more.

    Its parser is a generator that refers to it, and so do the frames of the exceptions that the parser raised. Without
    this, each of them would stay in memory until the next full garbage collection."""
    websocket.parser.close()
    for error in (websocket.parser_exc, websocket.handshake_exc):
        if error is not None:
            error.__traceback__ = None


def _response(status: bytes) -> bytes:
    return b"HTTP/1.1 %b\r\nconnection: close\r\ncontent-length: 0\r\n\r\n" % status
