"""Serves a segment of a plan as the response to a request."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

from starlette.requests import HTTPConnection

from broadcasters.position import Position
from hub.access.principal import Principal
from hub.core.burst import Burst
from hub.core.connection import Connection
from hub.core.subscriber import Since
from hub.node import Hub
from hub.protocols.segments import Ending, SegmentReader
from hub.transports.http_stream import HttpStream
from hub.transports.peers import peer_of
from hub.transports.pull_outlet import PullOutlet
from hub.wire.codes import CloseCode
from hub.wire.server_frames import Connected, Error, GoingAway, ServerFrame, SubscriptionConfirmed, SubscriptionEnded

__all__ = ["PlanStream", "SegmentOutlet"]

RESTARTS: Final = frozenset(
    {CloseCode.RESTART, CloseCode.GOING_AWAY, CloseCode.SLOW_CONSUMER, CloseCode.INTERNAL, CloseCode.TOO_MANY_REQUESTS}
)
"""After these, the client should reconnect."""


class PlanStream(HttpStream["SegmentOutlet"]):
    """A segment of a plan for the client that made a request, which has the right to read the plan. Raises
    `AdmissionRefused`.

    `first` is written before everything else."""

    def __init__(
        self,
        hub: Hub,
        request: HTTPConnection,
        principal: Principal,
        reader: SegmentReader,
        since: Since = "start",
        first: bytes = b"",
    ) -> None:
        self._first = first
        super().__init__(
            hub.admission, peer_of(request), principal, lambda outlet: SegmentOutlet(outlet, reader, since)
        )
        self.writer.connection = self.connection

    async def frames(self) -> AsyncGenerator[bytes]:
        if self._first:
            yield self._first
        async with aclosing(super().frames()) as frames:
            async for frame in frames:
                yield frame
        if self.writer.reader.reset:
            raise ConnectionResetError("the stream can't be ended in a way that its client resumes from")


class SegmentOutlet:
    """The outlet of a connection that follows one plan: passes what the hub reports to a reader, and what that makes of it
    to the client."""

    connection: Connection

    def __init__(self, outlet: PullOutlet, reader: SegmentReader, since: Since) -> None:
        self.reader = reader
        self._outlet = outlet
        self._since: Since = since

    @property
    def full(self) -> bool:
        return self._outlet.full

    def unread(self) -> int:
        return self._outlet.unread()

    def close(self, code: int, reason: str) -> None:
        ending = Ending("restart") if code in RESTARTS else Ending("failed", str(code), reason)
        self._put(self.reader.end(ending))
        self._outlet.close(code, reason)

    def deliver(self, burst: Burst) -> None:
        self._pass_on(self.reader.take(burst))

    def write(self, frame: bytes) -> None:
        self._pass_on(self.reader.take_snapshot(frame))

    def send(self, frame: ServerFrame) -> None:
        match frame:
            case Connected():
                session = self.connection.session
                self.connection.carry_out(session.subscribe(self.reader.plan_id, self._since, None))
            case SubscriptionConfirmed():
                position = Position(frame.epoch, frame.offset)
                self._pass_on(self.reader.confirmed(position, frame.head, frame.reason))
            case SubscriptionEnded(code=code, reason=reason):
                self._pass_on(self.reader.end(Ending("failed", str(code), reason)))
            case Error(code=code, message=message):
                self._pass_on(self.reader.end(Ending("failed", code, message)))
            case GoingAway():
                self._pass_on(self.reader.end(Ending("restart")))
            case _:
                pass  # clients of one plan have no use for it

    def _put(self, encoded: bytes) -> None:
        if encoded:
            self._outlet.write(encoded)

    def _pass_on(self, encoded: bytes) -> None:
        self._put(encoded)
        if self.reader.over:
            self.connection.close(CloseCode.NORMAL, "")
