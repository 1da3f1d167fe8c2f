"""Chats over a WebSocket, for `WebSocketChatTransport` of ai 7: several requests on one connection.

The socket has a connection of the hub, for its limits, its token and drains; the response to each request is a stream with
a connection of its own, as over HTTP. A response that can't be ended in a way that the client resumes from closes the
socket.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from math import inf
from typing import Any, Final

from starlette.websockets import WebSocket

from broadcasters.supervision import log_failure
from hub.access.auth import TokenMissing
from hub.access.principal import Principal
from hub.api.problems import Problem, problem_of
from hub.api.route import LARGE_BODIES, ApiRoute
from hub.config.limits import MIB, SessionLimits
from hub.core.burst import Burst
from hub.core.connection import Connection
from hub.core.rates import CARRIED_BYTES, ONE, START
from hub.core.session_states import Phase
from hub.core.shares import TooManyBytes
from hub.node import Hub
from hub.protocols.ai_sdk.frames import ChatSend, ResponseFrames, request_in
from hub.protocols.ai_sdk.turns import Chats
from hub.protocols.segments import SegmentReader
from hub.protocols.streams import PlanStream
from hub.transports.admission import AdmissionRefused, AdmittedClient
from hub.transports.pull_outlet import PullOutlet
from hub.transports.websocket import DISCONNECTED, serve_websocket
from hub.wire.codec import BadFrame, fields_of
from hub.wire.codes import CloseCode, ErrorCode
from hub.wire.server_frames import Connected, Error, ServerFrame

__all__ = ["MESSAGE_BYTES", "SOCKET_PATH", "ChatSocket", "serve_chats"]

log = logging.getLogger(__name__)

SOCKET_PATH: Final = re.compile(r"/ai-sdk/[^/]+/ws")
MESSAGE_BYTES: Final = 1 * MIB
"""Of a message of the client, which has the whole chat."""
MAX_REQUESTS: Final = 16
"""Requests of one connection at once. A page has one for each chat that it shows."""
_RESUME: Final = "the stream was interrupted; reconnect and resume"
_Turn = asyncio.Task[SegmentReader | Problem | None]


async def serve_chats(hub: Hub, websocket: WebSocket, template: str) -> None:
    """Serves one client, from its handshake to its end."""
    sockets: list[ChatSocket] = []

    def connect(outlet: PullOutlet, client: AdmittedClient) -> tuple[Connection, Callable[[str | bytes], None]]:
        chats = ChatSocket(hub, websocket, template, outlet, client)
        limits = _with_histories(hub.admission.limits.session)
        chats.connection = hub.admission.connect(chats, client, "asgi", limits)
        sockets.append(chats)
        return chats.connection, chats.receive

    try:
        await serve_websocket(hub.admission, websocket, connect)
    finally:
        for chats in sockets:
            await chats.finish()


def _with_histories(limits: SessionLimits) -> SessionLimits:
    """A client that reads a response may be silent for as long as that lasts."""
    size = max(limits.frame_bytes, MESSAGE_BYTES)
    return replace(limits, frame_bytes=size, bytes_burst=max(limits.bytes_burst, 4 * size), idle_seconds=inf)


class ChatSocket:
    """The outlet of a socket's own connection. Set `connection` first, pass received frames to `receive`, and await
    `finish` when the client has gone."""

    connection: Connection

    def __init__(
        self, hub: Hub, websocket: WebSocket, template: str, outlet: PullOutlet, client: AdmittedClient
    ) -> None:
        self._hub = hub
        self._websocket = websocket
        self._template = template
        self._outlet = outlet
        self._client = client
        self._chats = Chats(hub)
        self._responses: dict[str, asyncio.Task[None]] = {}
        self._turns: set[_Turn] = set()

    # -- called by the transport ---------------------------------------------------------------------------------------

    def receive(self, frame: str | bytes) -> None:
        """Handles a frame of the client."""
        if not self.connection.check_limits(frame) or self.connection.session.phase is not Phase.OPEN:
            return
        try:
            fields = fields_of(str(frame))
        except BadFrame as bad:
            self._end(CloseCode.PROTOCOL_ERROR, bad.message)
            return
        request_id = fields.get("requestId")
        if not isinstance(request_id, str):
            self._end(CloseCode.PROTOCOL_ERROR, "requestId: expected a string")
        elif fields.get("type") == "abort":
            self._abort(request_id)
        else:
            self._request(request_id, fields, len(frame))

    async def finish(self) -> None:
        """Ends all responses, and waits for plans that are being started: they do not depend on the client."""
        for request_id in self._responses:
            self._abort(request_id)
        await asyncio.gather(*self._responses.values(), *self._turns, return_exceptions=True)

    # -- called by the connection --------------------------------------------------------------------------------------

    @property
    def full(self) -> bool:
        return self._outlet.full

    def unread(self) -> int:
        return self._outlet.unread()

    def close(self, code: int, reason: str) -> None:
        self._outlet.close(code, reason)

    def deliver(self, burst: Burst) -> None:
        pass  # the socket's own connection follows no plan

    def write(self, frame: bytes) -> None:
        pass

    def send(self, frame: ServerFrame) -> None:
        match frame:
            case Connected() if self.connection.session.principal is None:
                self._end(CloseCode.UNAUTHENTICATED, "a token is required: send a header, a cookie or ?ticket=")
            case Error(code=ErrorCode.TOKEN_EXPIRED):
                self._end(CloseCode.TOKEN_EXPIRED, "the token expired; reconnect with another one")
            case _:
                pass  # the client knows no other frames than responses

    @property
    def _principal(self) -> Principal:
        if (principal := self.connection.session.principal) is None:
            raise TokenMissing("a token is required")
        return principal

    def _end(self, code: CloseCode, reason: str) -> None:
        self.connection.close(code, reason)

    # -- requests ------------------------------------------------------------------------------------------------------

    def _request(self, request_id: str, fields: Mapping[str, Any], size: int) -> None:
        if request_id in self._responses:
            self._end(CloseCode.PROTOCOL_ERROR, "requestId: another request has it")
        elif max(len(self._responses), len(self._turns)) >= MAX_REQUESTS:
            text = f"this connection has {MAX_REQUESTS} requests already; wait for the end of one of them"
            self._outlet.write(ResponseFrames(request_id).error(text).encode())
        else:
            try:
                LARGE_BODIES.take(self._client.network, size)
            except TooManyBytes as refusal:
                self._outlet.write(ResponseFrames(request_id).error(str(refusal)).encode())
                return
            responding = asyncio.create_task(self._respond(request_id, self._begin(fields, size)), name="a response")
            self._responses[request_id] = responding
            responding.add_done_callback(lambda _: self._responses.pop(request_id))
            responding.add_done_callback(log_failure)

    def _begin(self, fields: Mapping[str, Any], size: int) -> _Turn:
        turn = asyncio.create_task(self._turn(fields, size), name="a chat's turn")
        self._turns.add(turn)
        turn.add_done_callback(self._turns.discard)
        turn.add_done_callback(lambda _: LARGE_BODIES.give_back(self._client.network, size))
        turn.add_done_callback(log_failure)
        return turn

    def _abort(self, request_id: str) -> None:
        """The client reads no more of a response. What it requested is done nevertheless."""
        if (responding := self._responses.get(request_id)) is not None:
            responding.cancel()

    async def _respond(self, request_id: str, turn: _Turn) -> None:
        frames = ResponseFrames(request_id)
        try:
            found = await asyncio.shield(turn)
            if isinstance(found, SegmentReader):
                stream = PlanStream(self._hub, self._websocket, self._principal, found)
                await self._stream(frames, stream)
            else:
                await self._send(frames.no_active() if found is None else frames.error(str(found.detail)))
        except AdmissionRefused as refusal:
            if refusal.code is CloseCode.RESTART:
                self._end(refusal.code, refusal.reason)
            else:
                await self._send(frames.error(refusal.reason))
        except ConnectionResetError:
            self._end(CloseCode.RESTART, _RESUME)

    async def _turn(self, fields: Mapping[str, Any], size: int) -> SegmentReader | Problem | None:
        """What the client requested, done; or why that is refused."""
        try:
            async with asyncio.timeout(ApiRoute.seconds):
                request = request_in(fields)
                if isinstance(request, ChatSend):
                    self._client.charge(START + size / CARRIED_BYTES)
                    return await self._chats.turn(self._principal, self._template, request.post)
                self._client.charge(ONE)
                return await self._chats.resume(self._principal, request.chat_id, ended=request.ended)
        except Exception as error:
            if (problem := problem_of(error)) is not None:
                return problem
            log.error("a chat's request failed: %s", error, exc_info=error)
            return Problem(ErrorCode.INTERNAL, "the hub has an internal error; try again")

    async def _stream(self, frames: ResponseFrames, stream: PlanStream) -> None:
        events = stream.frames()
        try:
            await self._send(frames.start())
            async for some in events:
                for text in frames.chunks(some):
                    await self._send(text)
            await self._send(frames.end())
        finally:
            await events.aclose()
            stream.leave()

    async def _send(self, text: str) -> None:
        """Raises `ConnectionResetError` if the client has gone, or reads nothing."""
        try:
            async with asyncio.timeout(self._hub.admission.limits.outlet.slow_seconds):
                await self._websocket.send_text(text)
        except TimeoutError:
            self._end(CloseCode.SLOW_CONSUMER, "the client read nothing for too long; reconnect and resume")
            raise ConnectionResetError from None
        except DISCONNECTED:
            raise ConnectionResetError from None
