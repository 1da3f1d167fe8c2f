"""The lean WebSocket transport that `plancast serve` runs: uvicorn's `ws=` extension point, without ASGI.

One object per connection: no task, no queue, no request object. Events are written as they are, framed once for all
clients; received bytes go through websockets' sans-I/O protocol into the connection. Other paths than the hub's own
socket (dialects, the application's own) are left to uvicorn's protocol.
"""

from __future__ import annotations

import asyncio
import logging
import re
import socket
import struct
import sys
from collections.abc import Awaitable
from functools import partial
from typing import Any, Final, NamedTuple, cast
from urllib.parse import unquote

from uvicorn.config import Config
from uvicorn.server import ServerState
from websockets.exceptions import InvalidMessage
from websockets.frames import Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import OPEN
from websockets.server import ServerProtocol

from broadcasters.supervision import Supervisor, log_failure
from hub.core.burst import Burst
from hub.core.connection import Connection
from hub.core.rates import TokenBucket
from hub.transports.admission import HEARTBEAT_SECONDS, AdmissionControl, AdmissionRefused, AdmittedClient
from hub.transports.http_guard import PathSwitch, WebSocketGuard, handshake_refusal, release
from hub.transports.peers import Peer, Proxies, peer_of_handshake
from hub.transports.refusals import HeldSocket
from hub.wire.codes import CloseCode
from hub.wire.frames import text_frames
from hub.wire.server_frames import ServerFrame

__all__ = ["NativeSockets"]

log = logging.getLogger(__name__)
protocol_log = logging.getLogger(f"{__name__}.protocol")
protocol_log.setLevel(logging.WARNING)  # below that, it logs every connection that opens

PATH: Final = "/ws/streaming"
CLOSING_SECONDS: Final = 5.0
"""How long a client may take to read what is left and to answer a close frame."""
SILENCE_SECONDS: Final = 10.0
"""A client that sends nothing for this long after a ping is considered dead."""
PIECE: Final = 4096
"""Bytes that are parsed before reading may be paused: a few hundred of the smallest frames."""


class NativeSockets:
    """All native connections of a process, and their heartbeat. Pass `protocol` to uvicorn as `ws=`."""

    def __init__(self, admission: AdmissionControl, proxies: Proxies) -> None:
        self.admission = admission
        self.proxies = proxies
        self.open: set[_NativeSocket] = set()
        self.admitting: set[asyncio.Task[None]] = set()
        self.message_bytes: dict[re.Pattern[str], int] = {}
        """The largest message of a client on other paths than the hub's own, where it is not uvicorn's `ws_max_size`."""

    def protocol(
        self, config: Config, server_state: ServerState, app_state: dict[str, Any], _loop: object = None
    ) -> asyncio.Protocol:
        """Called by uvicorn for each request to upgrade to a WebSocket."""

        def protocol_for(request: bytes) -> asyncio.Protocol:
            path = _path_of(request)
            if path == PATH:
                return _NativeSocket(self)
            sizes = (size for pattern, size in self.message_bytes.items() if path and pattern.fullmatch(path))
            return WebSocketGuard(config, server_state, app_state, message_bytes=next(sizes, None))

        return PathSwitch(protocol_for)

    def start(self, supervisor: Supervisor) -> None:
        """Until the supervisor closes: pings every client each HEARTBEAT_SECONDS, spread over that time, drops dead ones,
        and adjusts their write buffers to the number of connections."""
        supervisor.repeat("heartbeats", self._beat_all, every=1.0)

    async def close(self) -> None:
        """Cancels the admissions in progress."""
        for task in self.admitting:
            task.cancel()
        await asyncio.gather(*self.admitting, return_exceptions=True)

    async def _beat_all(self) -> None:
        now = asyncio.get_running_loop().time()
        for each in list(self.open):
            try:
                each.beat(now)
            except Exception as error:  # must not stop the other heartbeats
                log.error("a heartbeat failed: %s", error, exc_info=error)


def _path_of(request: bytes) -> str | None:
    """The path of a GET, however it is escaped: an ASGI application would decode it, too."""
    method, _, rest = request.partition(b" ")
    path = rest.partition(b" ")[0].partition(b"?")[0]
    return unquote(path.decode("latin-1")) if method == b"GET" else None


class _NativeSocket(asyncio.Protocol):
    """One client on /ws/streaming."""

    __slots__ = (
        "_acked",
        "_client",
        "_closing",
        "_connection",
        "_controls",
        "_fragments",
        "_held",
        "_pinged",
        "_received_at",
        "_sockets",
        "_transport",
        "_websocket",
        "full",
    )

    def __init__(self, sockets: NativeSockets) -> None:
        limits = sockets.admission.limits.session
        self._sockets = sockets
        self._websocket = ServerProtocol(max_size=limits.frame_bytes, logger=protocol_log)
        self._connection: Connection | None = None
        self._client: AdmittedClient | None = None
        self._held: HeldSocket | None = None
        self._fragments: list[bytes] = []
        self._closing: asyncio.TimerHandle | None = None
        self._received_at = self._pinged = asyncio.get_running_loop().time()
        self._acked = 0
        self._controls = TokenBucket(limits.frames_per_second, limits.frames_burst, self._received_at)
        self.full = False

    # -- called by asyncio ---------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.resume_reading()  # an earlier request on this connection may have paused it
        self._sockets.open.add(self)

    def data_received(self, data: bytes) -> None:
        self._received_at = asyncio.get_running_loop().time()
        try:
            for at in range(0, len(data), PIECE):
                if self._transport.is_reading():
                    self._take(data[at : at + PIECE])
        except Exception as error:
            self._fail(error)

    def eof_received(self) -> None:
        self._websocket.receive_eof()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self._sockets.open.discard(self)
        if self._closing is not None:
            self._closing.cancel()
        if self._held is not None:
            self._held.leave()
        if self._client is not None:
            self._sockets.admission.leave(self._connection, self._client)
            self._client = None
        release(self._websocket)

    def pause_writing(self) -> None:
        self.full = True
        if self._connection is not None:
            self._connection.filled()

    def resume_writing(self) -> None:
        self.full = False
        if self._connection is not None and self._closing is None:
            try:
                self._connection.drained()
            except Exception as error:
                self._fail(error)

    # -- called by the connection --------------------------------------------------------------------------------------

    def deliver(self, burst: Burst) -> None:
        self._transport.write(burst.websocket)

    def send(self, frame: ServerFrame) -> None:
        self.write(frame.encode())

    def write(self, frame: bytes) -> None:
        if self._closing is None:
            self._transport.write(text_frames((frame,)))

    def unread(self) -> int:
        return self._transport.get_write_buffer_size()

    def close(self, code: int, reason: str) -> None:
        if self._closing is None:
            if self._websocket.state is OPEN:
                self._websocket.send_close(code, reason)
            self._end()
            self._send_out()

    # -- the opening handshake -----------------------------------------------------------------------------------------

    def _handshake(self, request: Request) -> None:
        response = self._websocket.accept(request)
        if response.status_code != 101:
            self._websocket.send_response(response)
            return
        peer = peer_of_handshake(request, self._transport, self._sockets.proxies)
        try:
            client = self._sockets.admission.admit(peer)
        except AdmissionRefused as refusal:
            self._refuse(peer, refusal, response)
            return
        if isinstance(client, AdmittedClient):
            self._open(client, response)
        else:
            self._open_later(peer, client, response)

    def _open_later(self, peer: Peer, client: Awaitable[AdmittedClient], response: Response) -> None:
        async def open_when_admitted() -> None:
            try:
                self._admitted(await client, response)
            except AdmissionRefused as refusal:
                self._refuse(peer, refusal, response)
            except asyncio.CancelledError:
                self._transport.abort()
                raise
            except Exception as error:
                self._fail(error)
            self._transport.resume_reading()

        # What the client sends before it is admitted waits in the kernel, in its order.
        self._transport.pause_reading()
        task = asyncio.get_running_loop().create_task(open_when_admitted(), name="admission of a client")
        self._sockets.admitting.add(task)
        task.add_done_callback(self._sockets.admitting.discard)
        task.add_done_callback(log_failure)

    def _admitted(self, client: AdmittedClient, response: Response) -> None:
        if self._transport.is_closing():
            self._sockets.admission.leave(None, client)
        else:
            self._open(client, response)

    def _open(self, client: AdmittedClient, response: Response) -> None:
        self._websocket.send_response(response)
        self._send_out()
        admission = self._sockets.admission
        self._client = client
        self._connection = admission.connect(self, client, "native")
        self._limit_buffer()
        admission.begin(self._connection)

    def _refuse(self, peer: Peer, refusal: AdmissionRefused, response: Response) -> None:
        # Accepts first and closes then, because a page sees a close code but not the status of a refused handshake.
        if self._transport.is_closing():
            return
        close = partial(self.close, refusal.code, refusal.reason)
        self._held = held = self._sockets.admission.refusals.hold(peer.address, peer.origin, refusal.code, close)
        self._websocket.send_response(response if held.accepted else self._websocket.reject(403, refusal.reason))
        self._send_out()
        held.begin()

    # -- frames --------------------------------------------------------------------------------------------------------

    def _take(self, data: bytes) -> None:
        self._websocket.receive_data(data)
        for event in self._websocket.events_received():
            if isinstance(event, Frame):
                self._frame(event)
            elif isinstance(event, Request):
                self._handshake(event)
        if self._websocket.close_expected() and self._closing is None:
            self._end()  # the client closed, or violated the WebSocket protocol
        self._send_out()

    def _frame(self, frame: Frame) -> None:
        connection = self._connection
        if self._closing is not None or connection is None or not connection.session.listening:
            if not self._controls.take(1, self._received_at):
                self._transport.pause_reading()  # the client ignores the close; read nothing more
        elif frame.opcode in (Opcode.TEXT, Opcode.CONT):
            self._fragments.append(bytes(frame.data))
            if len(self._fragments) > self._sockets.admission.limits.session.frame_fragments:
                connection.close(CloseCode.TOO_LARGE, "a message in too many fragments")
            elif frame.fin:
                self._message(connection)
        elif frame.opcode is Opcode.BINARY:
            connection.receive(b"")
        elif not self._controls.take(1, self._received_at):
            connection.close(CloseCode.TOO_MANY_REQUESTS, "too many pings a second")

    def _message(self, connection: Connection) -> None:
        whole = self._fragments[0] if len(self._fragments) == 1 else b"".join(self._fragments)
        self._fragments = []
        try:
            text = whole.decode()
        except UnicodeDecodeError:
            connection.close(CloseCode.NOT_UTF8, "a text frame must be UTF-8")
        else:
            connection.receive(text)

    # -- heartbeat and closing -----------------------------------------------------------------------------------------

    def beat(self, now: float) -> None:
        """Pings the client if it was silent, and drops it if it neither replies nor reads."""
        self._limit_buffer()
        silent = now - self._received_at >= HEARTBEAT_SECONDS
        if self._closing is not None or self._websocket.state is not OPEN or not silent:
            return
        if self._pinged <= self._received_at:
            self._pinged, self._acked = now, _tcp_progress(self._transport).acked
            self._websocket.send_ping(b"")
            self._send_out()
        elif self._reads():
            self._pinged = now
        elif now - self._pinged > SILENCE_SECONDS:
            self._transport.abort()

    def _limit_buffer(self) -> None:
        """Sets how much may wait in the write buffer: the more connections, the less for each."""
        waters = self._sockets.admission.waters
        self._transport.set_write_buffer_limits(high=waters.high, low=waters.low)

    def _reads(self) -> bool:
        """Whether the client is still reading what was written before the ping, and has read some since the last call."""
        before, (unread, self._acked) = self._acked, _tcp_progress(self._transport)
        return unread and self._acked != before

    def _send_out(self) -> None:
        """Writes what the WebSocket protocol itself sends: handshakes, pongs and closes."""
        output = self._websocket.data_to_send()
        if output == [b""] and isinstance(error := self._websocket.handshake_exc, InvalidMessage):
            self._transport.write(handshake_refusal(error))
        for data in output:
            if data:
                self._transport.write(data)
            else:
                self._end_output()

    def _end_output(self) -> None:
        """Ends the output. Closing while the client still sends would reset the connection and discard the close frame."""
        if self._websocket.close_rcvd is None and self._transport.can_write_eof():
            self._transport.write_eof()
        else:  # the client sends nothing more
            self._transport.close()

    def _end(self) -> None:
        """Stops writing, and gives the client a moment to read the rest and to reply."""
        self._closing = asyncio.get_running_loop().call_later(CLOSING_SECONDS, self._transport.abort)
        if self._connection is not None:
            self._connection.lost()

    def _fail(self, error: Exception) -> None:
        """Closes this connection after an internal error; other connections are not affected."""
        if self._connection is None:
            log.error("a handshake failed: %s", error, exc_info=error)
            self._transport.abort()
            return
        log.error("connection %s: %s", self._connection.session.connection_id, error, exc_info=error)
        self.close(CloseCode.INTERNAL, "the hub has an internal error")


# Of Linux's struct tcp_info: tcpi_unacked (segments), tcpi_bytes_acked, tcpi_notsent_bytes.
_UNACKED: Final = struct.Struct("=24xI")
_BYTES_ACKED: Final = struct.Struct("=120xQ")
_NOT_SENT: Final = struct.Struct("=144xI")
_TCP_INFO_SIZE: Final = 148


class _TcpProgress(NamedTuple):
    """Whether the client has bytes left to read, and a number that changes whenever it has read some."""

    unread: bool
    acked: int


def _tcp_progress(transport: asyncio.Transport) -> _TcpProgress:
    """Returns the progress as the kernel reports it or, on other systems than Linux, that of the write buffer.

    The write buffer alone says little: most of what a slow client has yet to read waits in the kernel, and a ping waits
    behind it. This costs a system call."""
    buffered = transport.get_write_buffer_size()
    connected = transport.get_extra_info("socket")
    if sys.platform == "linux" and connected is not None:
        try:
            info = connected.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_SIZE)
        except OSError:
            return _TcpProgress(buffered > 0, -buffered)
        if len(info) == _TCP_INFO_SIZE:
            [unacked], [acked], [not_sent] = (field.unpack_from(info) for field in (_UNACKED, _BYTES_ACKED, _NOT_SENT))
            return _TcpProgress(buffered + unacked + not_sent > 0, acked)
    return _TcpProgress(buffered > 0, -buffered)
