"""The stream of a thread's events: its plans one after the other, and then what follows, for as long as the client reads."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Final

from starlette.requests import HTTPConnection

from broadcasters.errors import InvalidPlanId
from broadcasters.log.contract import Head, PlanLog
from broadcasters.snapshot import Snapshot, empty
from hub.access.principal import Principal
from hub.node import Hub
from hub.protocols.langgraph.events import EventEncoder
from hub.protocols.langgraph.state import encoded, messages_of
from hub.protocols.segments import Ending, SegmentReader
from hub.protocols.streams import SegmentOutlet
from hub.protocols.threads import plan_id_in
from hub.transports.http_stream import HttpStream
from hub.transports.peers import peer_of
from hub.transports.pull_outlet import PullOutlet

__all__ = ["Epochs", "EventReader", "ThreadEvents", "ThreadOutlet", "epochs_of"]

Epochs = tuple[tuple[int, str], ...]
_HEADS_AT_ONCE: Final = 100
_SINCE: Final = "events"
"""A client that replays a thread knows the parts of a message by their ids: they must not be merged."""


async def epochs_of(log: PlanLog, thread_id: str, count: int) -> Sequence[Epochs]:
    """The epochs of the first plans of a thread, each with its last offset."""
    ids = [plan_id_in(thread_id, number) for number in range(1, count + 1)]
    heads: dict[str, Head] = {}
    for first in range(0, count, _HEADS_AT_ONCE):
        heads |= await log.heads(ids[first : first + _HEADS_AT_ONCE])
    return [_epochs_in(heads[plan_id]) for plan_id in ids]


def _epochs_in(head: Head) -> Epochs:
    return *((last, epoch) for epoch, last in head.lineage.ended), (head.offset, head.lineage.epoch)


class EventReader(SegmentReader):
    """Reads one plan of a thread. If it is the newest one, the client receives its state when it has got to where the plan
    is, and from then on whenever that changes, up to the plan's end; any other is read as far as it is."""

    def __init__(self, plan_id: str, encoder: EventEncoder, *, newest: bool) -> None:
        super().__init__(plan_id, encoder, encoder.after, whole=True)
        self.encoder = encoder
        self.ended = False
        """Everything of the plan was read."""
        self._newest = newest
        self._had = empty(plan_id)

    def end(self, ending: Ending) -> bytes:
        self.ended = self.ended or ending.kind == "stop"
        return super().end(ending)

    def _open(self, plan: Snapshot | None = None) -> bytes:
        opened = plan or self.plan
        self._had = opened if opened.offset <= self.encoder.after else self._had
        return super()._open(plan)

    def _stop(self) -> bytes:
        if self.over or self.position.offset < self._head:
            return b""
        if not self._newest:
            return self.end(Ending("stop"))  # the thread goes on with the next plan, even if this one has not ended
        state = b""
        if not self.encoder.live:
            state = self.encoder.arrived(self._had, self.plan, self.position)
            self.encoder = self._encoder = replace(self.encoder, since=0, live=True)
        return state + super()._stop()


class ThreadOutlet(SegmentOutlet):
    """The outlet of a connection that follows a thread: after the end of a plan, it follows the next one, which may not
    have begun."""

    reader: EventReader

    def __init__(
        self, outlet: PullOutlet, principal: Principal, encoder: EventEncoder, epochs: Sequence[Epochs]
    ) -> None:
        self._principal = principal
        self._epochs = epochs
        super().__init__(outlet, self._reader_of(encoder), _SINCE)

    def _pass_on(self, encoded: bytes) -> None:
        if self.reader.ended:
            self._put(encoded)
            asyncio.get_running_loop().call_soon(self._go_on, self.reader)
        else:
            super()._pass_on(encoded)

    def _go_on(self, last: EventReader) -> None:
        if last is not self.reader:
            return
        session, earlier = self.connection.session, last.encoder.earlier
        self.connection.carry_out(session.unsubscribe(last.plan_id, None))
        messages = encoded(messages_of(last.plan))[1:-1]
        encoder = replace(
            last.encoder,
            number=last.encoder.number + 1,
            earlier=b",".join(some for some in (earlier, messages) if some),
            live=False,
        )
        try:
            following = self._reader_of(encoder)
        except InvalidPlanId:
            return  # a thread whose id leaves no room for a number has one plan
        if self._principal.may("read", following.plan_id):
            self.reader = following
            self.connection.carry_out(session.subscribe(following.plan_id, _SINCE, None))

    def _reader_of(self, encoder: EventEncoder) -> EventReader:
        plan_id, known = plan_id_in(encoder.thread_id, encoder.number), len(self._epochs)
        epochs = self._epochs[encoder.number - 1] if encoder.number <= known else ()
        return EventReader(plan_id, replace(encoder, epochs=epochs), newest=encoder.number >= known)


class ThreadEvents(HttpStream[ThreadOutlet]):
    """The events of a thread for the client that made a request, which has the right to read it. `epochs` has those of
    each plan that the thread has, see `epochs_of`. Raises `AdmissionRefused`."""

    def __init__(
        self,
        hub: Hub,
        request: HTTPConnection,
        principal: Principal,
        encoder: EventEncoder,
        epochs: Sequence[Epochs],
    ) -> None:
        peer = peer_of(request)
        super().__init__(hub.admission, peer, principal, lambda one: ThreadOutlet(one, principal, encoder, epochs))
        self.writer.connection = self.connection

    async def frames(self) -> AsyncGenerator[bytes]:
        async with aclosing(super().frames()) as frames:
            async for frame in frames:
                yield frame
        if self.writer.reader.reset:
            raise ConnectionResetError("Python's client reconnects only after an error")
