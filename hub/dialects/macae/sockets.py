"""The socket of MACAE's page: `/api/v4/socket/{plan_id}?user_id=`."""

from __future__ import annotations

import time
from collections.abc import Callable
from math import inf
from typing import Final

from starlette.types import Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from broadcasters.errors import InvalidPlanId
from broadcasters.position import Position
from hub.api.problems import Problem
from hub.core.connection import Connection
from hub.dialects.macae.encoder import MacaeEncoder
from hub.dialects.macae.places import Places
from hub.dialects.macae.visitors import USER_HEADER, Visitor, user_named
from hub.node import Hub
from hub.protocols.segments import Ending, SegmentReader
from hub.protocols.streams import SegmentOutlet
from hub.transports.admission import AdmittedClient
from hub.transports.peers import authorization_of
from hub.transports.pull_outlet import PullOutlet
from hub.transports.websocket import serve_websocket
from hub.wire.codes import CloseCode, ErrorCode
from hub.wire.server_frames import Connected, Error, GoingAway, ServerFrame, SubscriptionConfirmed

__all__ = ["PlanSockets"]

LEFT: Final = frozenset({1000, 1001})
"""Codes with which a page closes a socket that it doesn't open again."""
RETURN_SECONDS: Final = 60.0
"""How long after the hub's start pages that its predecessor served may reconnect. What began since its start they lack."""
PASSING: Final = frozenset({ErrorCode.UNAVAILABLE, ErrorCode.TOO_MANY_REQUESTS, ErrorCode.TOO_MANY_SUBSCRIPTIONS})
"""Errors after which the page should reconnect."""


class PlanSockets:
    """The route's ASGI application. A socket without the means to authenticate is refused in its handshake, because a page
    whose socket opens and closes again reconnects every second; other refusals are an `error_message`, after which the page
    doesn't reconnect."""

    def __init__(self, hub: Hub, places: Places) -> None:
        self._hub = hub
        self._places = places
        self._since = time.time()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        plan_id: str = scope["path_params"]["plan_id"]
        unseen = self._since if time.time() < self._since + RETURN_SECONDS else inf
        page = _Page(self._hub, self._places, plan_id, MacaeEncoder(unseen), receive)
        websocket = page.socket = WebSocket(scope, page.receive, send)
        if self._hub.authenticator.anonymous is None and not _shows_something(websocket):
            await websocket.close()
            return
        try:
            await serve_websocket(self._hub.admission, websocket, page.connect)
        finally:
            page.leave()


def _shows_something(websocket: WebSocket) -> bool:
    return authorization_of(websocket) is not None or "ticket" in websocket.query_params


class _Page:
    """One page's socket, from its handshake to its end."""

    socket: WebSocket

    def __init__(self, hub: Hub, places: Places, plan_id: str, joining: MacaeEncoder, receive: Receive) -> None:
        """`joining` encodes for a page whose position is unknown."""
        self._joining = joining
        self._hub = hub
        self._places = places
        self._plan_id = plan_id
        self._receive = receive
        self._user: str | None = None
        self._begins: Position | None = None
        self._outlet: _PageOutlet | None = None
        self._code: int | None = None

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "websocket.disconnect":
            self._code = message.get("code", 1005)
        return message

    def connect(self, outlet: PullOutlet, client: AdmittedClient) -> tuple[Connection, Callable[[str | bytes], None]]:
        refusal = self._refusal(client)
        if self._user is not None:
            self._begins = self._places.take(self._user, self._plan_id)
        encoder = self._joining if self._begins is None else MacaeEncoder()
        reader = SegmentReader(self._plan_id, encoder, self._begins and self._begins.offset, whole=True)
        self._outlet = _PageOutlet(outlet, reader, self._begins, refusal)
        self._outlet.connection = self._hub.admission.connect(self._outlet, client, "asgi")
        return self._outlet.connection, self._outlet.receive

    def _refusal(self, client: AdmittedClient) -> str:
        """Why the page may not follow the plan; "" if it may."""
        named = self.socket.headers.get(USER_HEADER) or self.socket.query_params.get("user_id")
        try:
            if client.principal is None:
                return "a token is required"
            visitor: Visitor = user_named(self._hub, self.socket, client.principal, named)
            visitor.require("read", self._plan_id)
        except (Problem, InvalidPlanId) as error:
            return str(getattr(error, "detail", error))
        self._user = visitor.user
        return ""

    def leave(self) -> None:
        """Keeps the position for the next socket, if this one was cut."""
        outlet = self._outlet
        if outlet is None or self._user is None or outlet.reader.over or self._code in LEFT:
            return
        reached = outlet.reader.position
        if self._begins is not None and self._begins.offset > reached.offset:
            reached = self._begins
        if reached.offset:
            self._places.cut(self._user, self._plan_id, reached)


class _PageOutlet(SegmentOutlet):
    """The outlet of a page: each frame is a message. Its own frames are pings, which need no answer."""

    def __init__(self, outlet: PullOutlet, reader: SegmentReader, begins: Position | None, refusal: str) -> None:
        super().__init__(outlet, reader, "start" if begins else "snapshot")
        self._begins = begins
        self._refusal = refusal
        self._page = outlet

    def receive(self, frame: str | bytes) -> None:
        """Counts a frame of the page against its limits."""
        self.connection.check_limits(frame)

    def send(self, frame: ServerFrame) -> None:
        match frame:
            case Connected() if self._refusal:
                self._pass_on(self.reader.end(Ending("failed", ErrorCode.FORBIDDEN, self._refusal)))
            case SubscriptionConfirmed() if self._begins and frame.epoch == self._begins.epoch:
                head = max(
                    frame.head, self._begins.offset
                )  # the hub's tail may be behind what the page got from the log
                self._pass_on(self.reader.confirmed(Position(frame.epoch, frame.offset), head, frame.reason))
            case GoingAway():
                pass  # the close code that follows makes the page reconnect
            case Error(code=code, message=message) if code in PASSING:
                self.connection.close(CloseCode.INTERNAL, message[:100])
            case _:
                super().send(frame)

    def close(self, code: int, reason: str) -> None:
        self._page.close(code, reason)

    def _put(self, encoded: bytes) -> None:
        for line in encoded.splitlines():
            self._page.write(line)
