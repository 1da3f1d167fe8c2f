"""Server-sent events: plans for clients that WebSockets do not reach. The connection is the same, with another outlet.

An event's `id:` is the position after it: `epoch:offset` for one plan; for several plans their positions, separated by
commas, in the order in which the URL names the plans. The position of a plan without one yet is empty; that plan starts
where the URL says. A browser that reconnects sends the id back as Last-Event-ID.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing
from typing import Final
from weakref import WeakValueDictionary

from broadcasters.checkpointing import snapshot_of
from broadcasters.errors import SnapshotUnreadable
from broadcasters.log.contract import PlanLog
from broadcasters.position import Position
from hub.core.burst import Burst
from hub.core.counts import HubCounts
from hub.core.subscriber import Since
from hub.core.tail import LogRetry
from hub.transports.admission import AdmissionControl, AdmittedClient
from hub.transports.pull_outlet import ControlFrame, Item, PullOutlet
from hub.wire.codes import CloseCode, SubscriptionCode
from hub.wire.frames import data_field, named_message, position_of, snapshot_ended
from hub.wire.server_frames import Error, SubscriptionConfirmed, SubscriptionEnded

__all__ = ["HEADERS", "BadCursor", "EndedPlans", "EventStreamClient", "position_in", "positions_of"]

HEADERS: Final = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-store, no-transform",
    "X-Accel-Buffering": "no",
}
KEEP_ALIVE_SECONDS: Final = 15.0
RETRY_MS: Final = 2000


class BadCursor(ValueError):
    """The text is not an id of a stream of these plans."""


def positions_of(plan_ids: Sequence[str], cursor: str, otherwise: Since | None) -> dict[str, Since | None]:
    """Returns where each plan starts by the cursor; a plan without a position in it starts at `otherwise`."""
    parts = cursor.split(",")
    if len(parts) != len(plan_ids):
        raise BadCursor(f"expected {len(plan_ids)} positions, one for each plan; got {len(parts)}")
    return {
        plan_id: position_in(part) if part or len(parts) == 1 else otherwise
        for plan_id, part in zip(plan_ids, parts, strict=True)
    }


def position_in(text: str) -> Position:
    """Parses the position of one plan, or raises `BadCursor`."""
    epoch, colon, offset = text.partition(":")
    plain = len(epoch) <= 64 and (not epoch or (epoch.isascii() and epoch.isalnum()))
    if not colon or not plain or not offset.isascii() or not offset.isdigit() or len(offset) > 15:
        raise BadCursor(f"expected epoch:offset; got {text!r:.60}")
    return Position(epoch, int(offset))


class EventStreamClient:
    """One client's event stream. `messages` begins it; `outlet` ends it."""

    def __init__(
        self, admission: AdmissionControl, client: AdmittedClient, plans: Mapping[str, Since | None], ended: EndedPlans
    ) -> None:
        self.outlet = PullOutlet(admission.waters)
        self._admission = admission
        self._client = client
        self._encoder = _Encoder(plans)
        self._ended_plans = ended
        self._connection = self.outlet.connection = admission.connect(self.outlet, client, "sse")
        self._here = True
        self._settling: dict[asyncio.Task[None], _StreamedPlan] = {}
        """For each plan whose events were all sent: the task that finds out whether it has ended."""

    async def messages(self) -> AsyncGenerator[bytes]:
        """Yields everything the client must receive. Close it in any case."""
        connection = self._connection
        try:
            self._admission.begin(connection)
            for plan in self._encoder.plans:
                connection.carry_out(connection.session.subscribe(plan.plan_id, plan.since or "now", None))
            yield b"retry: %d\n\n" % RETRY_MS
            async with aclosing(self._encode()) as encoded:
                async for text in encoded:
                    yield text
        finally:
            for settling in self._settling:
                settling.cancel()
            await asyncio.gather(*self._settling, return_exceptions=True)
            self.leave()

    def leave(self) -> None:
        """Counts the client no longer; it has gone. May be called again."""
        if self._here:
            self._here = False
            self._admission.leave(self._connection, self._client)

    async def _encode(self) -> AsyncGenerator[bytes]:
        encoder = self._encoder
        while True:
            waiting = await self._take()
            if waiting is None:
                yield b": still here\n\n"
                continue
            if not waiting and self.outlet.ending is not None:
                code, reason = self.outlet.ending
                yield named_message("close", {"code": int(code), "reason": reason})
                return
            if text := b"".join([*map(encoder.encode, waiting), *encoder.ends()]):
                yield text
            if encoder.finished:
                return
            self._settle()
            del waiting, text  # the stream may be idle for long

    async def _take(self) -> Sequence[Item] | None:
        """Returns what waits for the client; nothing, if the outlet is closed or a plan was settled; None, if a
        keep-alive is due."""
        if self._settling:
            return await self._take_or_settle()
        try:
            async with asyncio.timeout(KEEP_ALIVE_SECONDS):
                return await self.outlet.take()
        except TimeoutError:
            return None

    async def _take_or_settle(self) -> Sequence[Item] | None:
        taking = asyncio.ensure_future(self.outlet.take())
        try:
            waits = {taking, *self._settling}
            done, _ = await asyncio.wait(waits, timeout=KEEP_ALIVE_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        finally:
            taking.cancel()
        for settled in [task for task in self._settling if task in done]:
            del self._settling[settled]
            settled.result()
        return taking.result() if taking in done else [] if done else None

    def _settle(self) -> None:
        for plan in self._encoder.unsettled():
            if plan not in self._settling.values():
                self._settling[asyncio.ensure_future(self._find_out(plan))] = plan

    async def _find_out(self, plan: _StreamedPlan) -> None:
        """Finds out whether the plan has ended, unless it continues meanwhile."""
        offset = plan.offset
        ended = await self._ended_plans.ended(plan.plan_id, offset)
        if plan.ended is None and plan.offset == offset:
            plan.ended = ended


class _StreamedPlan:
    """What the client has received of one plan."""

    def __init__(self, plan_id: str, since: Since | None) -> None:
        self.plan_id = plan_id
        self.since: Since | None = since
        self.position = _encoded(since) if isinstance(since, Position) else b""
        self.offset = -1  # not confirmed yet
        self.head = 0
        self.ended: bool | None = None
        """Whether the plan has ended; None: not known yet."""
        self.end_sent = False
        self.gone: int | None = None
        """The code with which its subscription ended, if it did."""

    @property
    def at_head(self) -> bool:
        return self.offset >= self.head

    @property
    def done(self) -> bool:
        return self.end_sent or self.gone is not None

    def confirmed(self, frame: SubscriptionConfirmed) -> None:
        """A confirmation does not move the position, except that of a plan that had none and starts with an event."""
        if self.offset < 0 and frame.recovered and self.since in (None, "now", "start"):
            self.position = _encoded(Position(frame.epoch, frame.offset))
        self.offset, self.head = frame.offset, frame.head

    def advance(self, position: bytes, offset: int, ended: bool | None) -> None:
        self.position, self.offset = position, offset
        if ended is not None:
            self.ended = ended
            self.end_sent = self.end_sent and ended


class _Encoder:
    """Encodes frames as messages, and keeps the positions of all plans for their ids."""

    def __init__(self, plans: Mapping[str, Since | None]) -> None:
        self._plans = {plan_id: _StreamedPlan(plan_id, since) for plan_id, since in plans.items()}

    @property
    def plans(self) -> Sequence[_StreamedPlan]:
        return list(self._plans.values())

    @property
    def finished(self) -> bool:
        return all(plan.done for plan in self._plans.values())

    def encode(self, item: Item) -> bytes:
        match item:
            case Burst():
                return self._events(item)
            case ControlFrame():
                return self._control(item)
            case bytes():
                plan_id, position, offset = position_of(item)
                self._plans[plan_id].advance(position, offset, snapshot_ended(item))
                return self._id() + data_field(item)

    def unsettled(self) -> Iterator[_StreamedPlan]:
        """Plans whose events were all sent, and of which it is not known whether they have ended."""
        return (plan for plan in self._plans.values() if plan.ended is None and plan.at_head and plan.offset > 0)

    def ends(self) -> Iterator[bytes]:
        """Yields `end` for each plan that has ended since the last call, and `close` if no plan is left to follow."""
        for plan in self._plans.values():
            if plan.ended and plan.at_head and not plan.done:
                plan.end_sent = True
                yield named_message("end", {"plan_id": plan.plan_id})
        gone = [plan.gone for plan in self._plans.values() if plan.gone is not None]
        if gone and self.finished:
            code = int(_CLOSE_CODES.get(gone[0], CloseCode.INTERNAL))
            yield named_message("close", {"code": code, "reason": "no plan is left to follow"})

    def _events(self, burst: Burst) -> bytes:
        stream = burst.event_stream
        plan = self._plans[stream.plan_id]
        if len(self._plans) == 1:
            plan.advance(stream.position, stream.offset, stream.ended)
            return stream.messages
        messages: list[bytes] = []
        for position, data in stream.parts:
            plan.position = position
            messages.append(self._id() + data)
        plan.advance(stream.position, stream.offset, stream.ended)
        return b"".join(messages)

    def _control(self, item: ControlFrame) -> bytes:
        frame, data = item.frame, data_field(item.encoded)
        plan = self._plans.get(getattr(frame, "plan_id", None) or "")
        if plan is None:
            return data
        match frame:
            case SubscriptionConfirmed():
                before = plan.position
                plan.confirmed(frame)
                return (self._id() if plan.position != before else b"") + data
            case SubscriptionEnded(code=code):
                plan.gone = code
            case Error():
                plan.gone = 0
            case _:
                pass
        return data

    def _id(self) -> bytes:
        return b"id: %b\n" % b",".join(plan.position for plan in self._plans.values())


def _encoded(position: Position) -> bytes:
    return f"{position.epoch}:{position.offset}".encode()


_CLOSE_CODES: Final[Mapping[int, CloseCode]] = {
    SubscriptionCode.FORBIDDEN: CloseCode.FORBIDDEN,
    SubscriptionCode.PLAN_DELETED: CloseCode.NORMAL,
    SubscriptionCode.TOKEN_EXPIRED: CloseCode.TOKEN_EXPIRED,
}

REMEMBERED: Final = 4_096


class EndedPlans:
    """Whether plans have ended by some offset. Every stream that joins a plan at its head needs this; the log is read
    once for all of them, and the most recent results are remembered: they never change."""

    def __init__(self, log: PlanLog, counts: HubCounts) -> None:
        self._log = log
        self._counts = counts
        self._known: OrderedDict[str, tuple[int, bool]] = OrderedDict()
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def ended(self, plan_id: str, offset: int) -> bool:
        """Whether the plan had ended at this offset, which was its head just now. False, too, if it has continued since.

        While the log is unavailable, the read is retried with growing delays, without end."""
        lock = self._locks.setdefault(plan_id, asyncio.Lock())
        async with lock:
            found = self._known.get(plan_id)
            if found is None or found[0] != offset:
                found = await self._read(plan_id)
        return found == (offset, True)

    async def _read(self, plan_id: str) -> tuple[int, bool]:
        try:
            snapshot, _ = await LogRetry(plan_id, self._counts)(lambda: snapshot_of(self._log, plan_id))
        except SnapshotUnreadable:  # written by newer code: the stream ends when an event ends the plan
            return 0, False
        found = self._known[plan_id] = snapshot.offset, snapshot.ended_at is not None
        self._known.move_to_end(plan_id)
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return found
