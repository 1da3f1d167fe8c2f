"""The lean WebSocket transport that `plancast serve` runs: uvicorn's `ws=` extension point, without ASGI.

One object a connection: no task, no queue, no request object. What is handed out is written as it is, framed once for
all clients; what comes in goes through websockets' sans-I/O protocol into the connection. Other paths than the hub's
own socket (the dialects, somebody's own app) are left to uvicorn's ordinary protocol.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from functools import partial
from typing import Any, Final, cast
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
from hub.transports.admission import HEARTBEAT_SECONDS, Admission, Door, Refused, Visitor
from hub.transports.other_websockets import OtherSocket, answer_to, release
from hub.transports.refusals import Held
from hub.transports.tcp_progress import uptake_of
from hub.transports.visitors import Proxies, visitor_behind
from hub.wire.codes import CloseCode
from hub.wire.frames import text_frames

__all__ = ["NativeSockets"]

log = logging.getLogger(__name__)
protocol_log = logging.getLogger(f"{__name__}.protocol")
protocol_log.setLevel(logging.WARNING)  # it tells of each connection that opens

PATH: Final = "/ws/streaming"
CLOSING_SECONDS: Final = 5.0
"""How long a client may take to read what is left and to answer a close."""
SILENCE_SECONDS: Final = 10.0
"""A client that says nothing for this long after a heartbeat is dead."""
PIECE: Final = 4096
"""What is looked at before anybody may say that it is enough: a few hundred of the smallest frames."""


class NativeSockets:
    """All native connections of a process, and their heartbeat. Hand `protocol` to uvicorn as `ws=`."""

    def __init__(self, door: Door, proxies: Proxies) -> None:
        self.door = door
        self.proxies = proxies
        self.open: set[_Socket] = set()
        self.admitting: set[asyncio.Task[None]] = set()

    def protocol(
        self, config: Config, server_state: ServerState, app_state: dict[str, Any], _loop: object = None
    ) -> asyncio.Protocol:
        """Called by uvicorn for each request that wants to become a WebSocket."""
        return _Switch(self, config, server_state, app_state)

    def start(self, supervisor: Supervisor) -> None:
        """Ping everybody every HEARTBEAT_SECONDS, spread over that time; drop those who died; let wait for each what may
        now. Until the supervisor closes."""
        supervisor.repeat("heartbeats", self._beat_all, every=1.0)

    async def close(self) -> None:
        """End the admissions under way."""
        for task in self.admitting:
            task.cancel()
        await asyncio.gather(*self.admitting, return_exceptions=True)

    async def _beat_all(self) -> None:
        now = asyncio.get_running_loop().time()
        for socket in list(self.open):
            try:
                socket.beat(now)
            except Exception as error:  # the others have their heartbeat, too
                log.error("a heartbeat: %s", error, exc_info=error)


def _is_ours(request: bytes) -> bool:
    """However the path is spelled: what an ASGI application would take for it must not get round this transport."""
    method, _, rest = request.partition(b" ")
    path = rest.partition(b" ")[0].partition(b"?")[0]
    return method == b"GET" and unquote(path.decode("latin-1")) == PATH


class _Switch(asyncio.Protocol):
    """Stands in until the request line is known: the hub's own socket, or somebody else's."""

    def __init__(
        self, sockets: NativeSockets, config: Config, server_state: ServerState, app_state: dict[str, Any]
    ) -> None:
        self._sockets = sockets
        self._uvicorn = config, server_state, app_state
        self._real: asyncio.Protocol | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self._real is None:
            real = _Socket(self._sockets) if _is_ours(data) else OtherSocket(*self._uvicorn)
            real.connection_made(self._transport)
            self._real = real
            # uvicorn makes this object the transport's protocol when we return; the real one takes over right after.
            asyncio.get_running_loop().call_soon(self._step_aside)
        self._real.data_received(data)

    def _step_aside(self) -> None:
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


class _Socket(asyncio.Protocol):
    """One client on /ws/streaming."""

    __slots__ = (
        "_admission",
        "_closing",
        "_connection",
        "_controls",
        "_fragments",
        "_heard",
        "_held",
        "_pinged",
        "_sockets",
        "_taken",
        "_transport",
        "_websocket",
        "full",
    )

    def __init__(self, sockets: NativeSockets) -> None:
        limits = sockets.door.limits.session
        self._sockets = sockets
        self._websocket = ServerProtocol(max_size=limits.frame_bytes, logger=protocol_log)
        self._connection: Connection | None = None
        self._admission: Admission | None = None
        self._held: Held | None = None
        self._fragments: list[bytes] = []
        self._closing: asyncio.TimerHandle | None = None
        self._heard = self._pinged = asyncio.get_running_loop().time()
        self._taken = 0
        self._controls = TokenBucket(limits.frames_per_second, limits.frames_burst, self._heard)
        self.full = False

    # -- asyncio's side ------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.resume_reading()  # a request that came before on this line may have had it paused
        self._sockets.open.add(self)

    def data_received(self, data: bytes) -> None:
        self._heard = asyncio.get_running_loop().time()
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
        if self._admission is not None:
            self._sockets.door.leave(self._connection, self._admission)
            self._admission = None
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

    # -- the connection's side -----------------------------------------------------------------------------------------

    def deliver(self, burst: Burst) -> None:
        self._transport.write(burst.websocket)

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

    def _knock(self, request: Request) -> None:
        response = self._websocket.accept(request)
        if response.status_code != 101:
            self._websocket.send_response(response)
            return
        visitor = visitor_behind(request, self._transport, self._sockets.proxies)
        try:
            admission = self._sockets.door.admit(visitor)
        except Refused as refusal:
            self._refuse(visitor, refusal, response)
            return
        if isinstance(admission, Admission):
            self._open(admission, response)
        else:
            self._open_later(visitor, admission, response)

    def _open_later(self, visitor: Visitor, admission: Awaitable[Admission], response: Response) -> None:
        async def open_when_admitted() -> None:
            try:
                self._admitted(await admission, response)
            except Refused as refusal:
                self._refuse(visitor, refusal, response)
            except asyncio.CancelledError:
                self._transport.abort()
                raise
            except Exception as error:
                self._fail(error)
            self._transport.resume_reading()

        # Whatever the client sends before it was let in waits where it is, in its order.
        self._transport.pause_reading()
        task = asyncio.get_running_loop().create_task(open_when_admitted(), name="admission of a client")
        self._sockets.admitting.add(task)
        task.add_done_callback(self._sockets.admitting.discard)
        task.add_done_callback(log_failure)

    def _admitted(self, admission: Admission, response: Response) -> None:
        if self._transport.is_closing():
            self._sockets.door.leave(None, admission)
        else:
            self._open(admission, response)

    def _open(self, admission: Admission, response: Response) -> None:
        self._websocket.send_response(response)
        self._send_out()
        door = self._sockets.door
        self._admission = admission
        self._connection = door.connect(self, admission, "native")
        self._bound()
        door.begin(self._connection)

    def _refuse(self, visitor: Visitor, refusal: Refused, response: Response) -> None:
        # Accepted first and closed then, because a page sees a close code but not the status of a refused handshake.
        if self._transport.is_closing():
            return
        close = partial(self.close, refusal.code, refusal.reason)
        self._held = held = self._sockets.door.refusals.hold(visitor.address, visitor.origin, refusal.code, close)
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
                self._knock(event)
        if self._websocket.close_expected() and self._closing is None:
            self._end()  # the client closed, or broke the rules of WebSocket
        self._send_out()

    def _frame(self, frame: Frame) -> None:
        connection = self._connection
        if self._closing is not None or connection is None or not connection.hears:
            if not self._controls.take(1, self._heard):
                self._transport.pause_reading()  # it was told to stop; what else it says is not even looked at
        elif frame.opcode in (Opcode.TEXT, Opcode.CONT):
            self._fragments.append(bytes(frame.data))
            if len(self._fragments) > self._sockets.door.limits.session.frame_fragments:
                connection.close(CloseCode.TOO_LARGE, "a message in so many fragments")
            elif frame.fin:
                self._message(connection)
        elif frame.opcode is Opcode.BINARY:
            connection.receive(b"")
        elif not self._controls.take(1, self._heard):
            connection.close(CloseCode.TOO_MANY_REQUESTS, "too many pings a second")

    def _message(self, connection: Connection) -> None:
        whole = self._fragments[0] if len(self._fragments) == 1 else b"".join(self._fragments)
        self._fragments = []
        try:
            text = whole.decode()
        except UnicodeDecodeError:
            connection.close(CloseCode.NOT_UTF8, "a text frame that is not UTF-8")
        else:
            connection.receive(text)

    # -- the line ------------------------------------------------------------------------------------------------------

    def beat(self, now: float) -> None:
        """Time passes: ask whether the client lives, or give it up."""
        self._bound()
        if self._closing is not None or self._websocket.state is not OPEN or now - self._heard < HEARTBEAT_SECONDS:
            return
        if self._pinged <= self._heard:
            self._pinged, self._taken = now, uptake_of(self._transport).taken
            self._websocket.send_ping(b"")
            self._send_out()
        elif self._takes():
            self._pinged = now
        elif now - self._pinged > SILENCE_SECONDS:
            self._transport.abort()

    def _bound(self) -> None:
        """What may wait here is the less the more connections there are."""
        waters = self._sockets.door.waters
        self._transport.set_write_buffer_limits(high=waters.high, low=waters.low)

    def _takes(self) -> bool:
        """Whether the client is busy with what is before the ping: it took some of it since we looked last."""
        before, (waiting, self._taken) = self._taken, uptake_of(self._transport)
        return waiting and self._taken != before

    def _send_out(self) -> None:
        """Write what the WebSocket protocol itself has to say: handshake, pongs, closes."""
        said = self._websocket.data_to_send()
        if said == [b""] and isinstance(unreadable := self._websocket.handshake_exc, InvalidMessage):
            self._transport.write(answer_to(unreadable))
        for data in said:
            if data:
                self._transport.write(data)
            else:
                self._write_no_more()

    def _write_no_more(self) -> None:
        """That was all. A line that is closed on what still comes in is reset, and the client never sees why."""
        if self._websocket.close_rcvd is None and self._transport.can_write_eof():
            self._transport.write_eof()
        else:  # the client has said its last word
            self._transport.close()

    def _end(self) -> None:
        """Nothing more from us: the client gets a moment to read the rest and to answer."""
        self._closing = asyncio.get_running_loop().call_later(CLOSING_SECONDS, self._transport.abort)
        if self._connection is not None:
            self._connection.lost()

    def _fail(self, error: Exception) -> None:
        """A mistake of ours costs this client its line, and nobody else anything."""
        if self._connection is None:
            log.error("a handshake: %s", error, exc_info=error)
            self._transport.abort()
            return
        log.error("connection %s: %s", self._connection.session.connection_id, error, exc_info=error)
        self.close(CloseCode.INTERNAL, "something in the hub failed")
