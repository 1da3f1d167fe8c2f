"""One client: its session, its places in channels, its outlet. What every transport shares."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Coroutine, Iterable
from typing import Any, Final, Protocol

from broadcasters.position import Position
from hub.access.principal import Principal
from hub.core.burst import Burst
from hub.core.channel import Channel
from hub.core.counts import HubCounts
from hub.core.effects import Answer, Authenticate, Close, Confirm, Effect, Join, Leave, Send, Signal
from hub.core.registry import NoRoom, Registry
from hub.core.session import Session
from hub.core.subscriber import Since, Subscriber
from hub.wire.codes import CloseCode, ErrorCode

__all__ = ["Connection", "Outlet", "RequestRefused", "Requests", "Services", "TokenRefused"]

log = logging.getLogger(__name__)


class Outlet(Protocol):
    """A transport's line to one client. Nothing here blocks or raises."""

    @property
    def full(self) -> bool:
        """As much waits for the client as may; the transport calls `drained` when it took some."""
        ...

    def deliver(self, burst: Burst) -> None:
        """Write events."""

    def write(self, frame: bytes) -> None:
        """Write one frame that is no event; these are few, and written even when full."""

    def unread(self) -> int:
        """Bytes that wait in this process for the client."""
        ...

    def close(self, code: int, reason: str) -> None:
        """Write what waits, then close."""


class _Gone(Outlet):
    """The outlet of a connection whose client is gone: nothing is written.

    A connection that kept its transport's outlet would form a reference cycle with the transport: both would stay in
    memory until the next full garbage collection."""

    @property
    def full(self) -> bool:
        return False

    def unread(self) -> int:
        return 0


_GONE: Final = _Gone()  # type: ignore[abstract]


class TokenRefused(Exception):
    """The token is no good, or could not be checked."""

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.code = code


class RequestRefused(Exception):
    """An answer or a signal can't be taken; `by` and `at` say who was first."""

    def __init__(
        self,
        code: ErrorCode,
        message: str,
        *,
        retry_after_ms: int | None = None,
        by: str | None = None,
        at: str | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.retry_after_ms = retry_after_ms
        self.by = by
        self.at = at


class Requests(Protocol):
    """What clients ask the rest of the hub for."""

    async def authenticate(self, token: str) -> Principal:
        """Whose token it is; or `TokenRefused`."""
        ...

    async def answer(self, answer: Answer) -> Position:
        """Put a person's answer into the plan; or `RequestRefused`."""
        ...

    async def signal(self, signal: Signal) -> None:
        """Signal whoever runs the plan; or `RequestRefused`."""


class Services(Requests, Protocol):
    """The same for one client, whose share is counted."""

    def follow(self, plan_id: str) -> None:
        """Count a plan that the client follows; or `RequestRefused`."""

    def unfollow(self, plan_id: str) -> None:
        """The client follows it no more."""

    def charge(self, cost: float) -> None:
        """Take so much of what the client may ask for; or `RequestRefused`. Answers and signals do so by themselves."""


class Connection:
    """Carries out what the session asks, and is the channels' client."""

    def __init__(
        self, session: Session, outlet: Outlet, registry: Registry, services: Services, counts: HubCounts
    ) -> None:
        self.session = session
        self.deliver = outlet.deliver
        self._outlet: Outlet = outlet
        self._registry = registry
        self._services = services
        self._counts = counts
        self._places: dict[str, tuple[Channel, Subscriber]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._stuck: tuple[int, float] | None = None  # how much was unread, and since when it was no less

    # -- the transport's side ------------------------------------------------------------------------------------------

    def begin(self, heartbeat: float, server_time: str) -> None:
        """The line is open."""
        self._do(self.session.begin(server_time, heartbeat))

    def receive(self, frame: str | bytes) -> None:
        """A frame came from the client."""
        self._counts.frames_received += 1
        self._do(self.session.receive(frame, time.time()))

    def weigh(self, frame: str | bytes) -> bool:
        """A frame came whose words are for somebody else (a dialect): may they be looked at?"""
        self._counts.frames_received += 1
        self._do(self.session.weigh(frame, time.time()))
        return self.hears

    def understand(self, text: str) -> None:
        """A frame of the protocol from inside the hub: whoever interprets asks so for what its client wants."""
        self._do(self.session.understand(text))

    def charge(self, cost: float) -> None:
        """Charge the client for what an interpreter does on its behalf; or `RequestRefused`."""
        self._services.charge(cost)

    def filled(self) -> None:
        """The outlet is full: every subscriber stays behind where it is."""
        for channel, subscriber in self._places.values():
            channel.filled(subscriber)

    def drained(self) -> None:
        """The outlet takes more: go on where each subscriber stands, as long as it does."""
        self._stuck = None
        for plan_id, (channel, subscriber) in list(self._places.items()):
            if self._outlet.full:
                return
            if plan_id in self._places:  # whoever has its turn now is the last next time, lest one plan starve others
                self._places[plan_id] = self._places.pop(plan_id)
            channel.pump(subscriber)

    def tick(self, now: float, slow_seconds: float) -> None:
        """Time passes (Unix time). A client that took nothing for `slow_seconds` is closed."""
        if now >= self.session.due():
            self._do(self.session.tick(now))
        if not self._outlet.full:
            self._stuck = None
            return
        unread = self._outlet.unread()
        before, since = self._stuck or (unread, now)
        self._stuck = unread, now if unread < before else since
        if now - self._stuck[1] > slow_seconds:
            reason = "nothing was read for too long; resume from the last place seen"
            closing = self.session.close(CloseCode.SLOW_CONSUMER, reason)
            self._counts.slow_consumers += bool(closing)  # it may take its time to close
            self._do(closing)

    def go_away(self, reconnect_after_ms: int) -> None:
        """The hub is drained."""
        self._do(self.session.going_away(reconnect_after_ms))

    def close(self, code: CloseCode, reason: str) -> None:
        """End the session for a reason of the transport's."""
        self._do(self.session.close(code, reason))

    def lost(self) -> None:
        """The line is gone. Nothing is written any more."""
        self.session.close(CloseCode.NORMAL, "the line is gone")
        self._leave_all()
        for task in self._tasks:
            task.cancel()
        self._outlet = _GONE
        self.deliver = _GONE.deliver

    @property
    def hears(self) -> bool:
        """Whether another frame of the client would be looked at."""
        return self.session.hears

    @property
    def places(self) -> Iterable[Subscriber]:
        """Where this client stands in each of its channels."""
        return [subscriber for _, subscriber in self._places.values()]

    # -- the channels' side --------------------------------------------------------------------------------------------

    @property
    def full(self) -> bool:
        return self._outlet.full

    def placed(self, plan_id: str, place: Position, head: int, reason: str | None) -> None:
        self._do(self.session.placed(plan_id, place, head, reason))

    def snapshot(self, frame: bytes) -> None:
        self._outlet.write(frame)

    def refused(self, plan_id: str, message: str, retry_after_ms: int) -> None:
        self._gone(plan_id)
        self._do(self.session.refused(plan_id, message, retry_after_ms))

    def ended(self, plan_id: str, code: int, reason: str) -> None:
        self._gone(plan_id)
        self._do(self.session.ended(plan_id, code, reason))

    # -- the session's side --------------------------------------------------------------------------------------------

    def _do(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            match effect:
                case Send(frame, refuses):
                    if refuses is not None:
                        self._counts.frames_refused[refuses] += 1
                    self._outlet.write(frame)
                case Join(plan_id, since):
                    self._join(plan_id, since)
                case Confirm(plan_id):
                    self._confirm(plan_id)
                case Leave(plan_id):
                    self._leave(plan_id)
                case Authenticate(token):
                    self._spawn(self._authenticate(token))
                case Answer():
                    self._spawn(self._answer(effect))
                case Signal():
                    self._spawn(self._signal(effect))
                case Close(code, reason):
                    self._leave_all()
                    self._outlet.close(code, reason)

    def _join(self, plan_id: str, since: Since | None) -> None:
        try:
            self._services.follow(plan_id)
        except RequestRefused as refusal:
            self._do(self.session.refused(plan_id, str(refusal), refusal.retry_after_ms, refusal.code))
            return
        try:
            channel, subscriber = self._registry.join(self, plan_id, since)
        except NoRoom as full:
            self._services.unfollow(plan_id)
            self._do(self.session.refused(plan_id, str(full), 5000))
            return
        self._places[plan_id] = channel, subscriber
        channel.start(subscriber)

    def _confirm(self, plan_id: str) -> None:
        channel, subscriber = self._places[plan_id]
        if (place := channel.position_of(subscriber)) is not None:  # else it is about to be told anyway
            self.placed(plan_id, place, channel.head, None)

    def _leave(self, plan_id: str) -> None:
        if plan_id in self._places:
            channel, subscriber = self._places[plan_id]
            channel.leave(subscriber)
            self._gone(plan_id)

    def _gone(self, plan_id: str) -> None:
        """The subscriber has left its channel."""
        if (place := self._places.pop(plan_id, None)) is not None:
            self._services.unfollow(plan_id)
            self._registry.left(place[0])

    def _leave_all(self) -> None:
        for plan_id in list(self._places):
            self._leave(plan_id)

    async def _authenticate(self, token: str) -> None:
        try:
            principal = await self._services.authenticate(token)
        except TokenRefused as refusal:
            self._counts.auth_failures[refusal.code.value] += 1
            self._do(self.session.authentication_failed(refusal.code, str(refusal)))
        else:
            self._do(self.session.authenticated(principal, time.time()))

    async def _answer(self, answer: Answer) -> None:
        try:
            place = await self._services.answer(answer)
        except RequestRefused as refusal:
            self._refuse(answer, refusal)
        else:
            self._do(self.session.input_accepted(answer, place))

    async def _signal(self, signal: Signal) -> None:
        try:
            await self._services.signal(signal)
        except RequestRefused as refusal:
            self._refuse(signal, refusal)
        else:
            self._do(self.session.signal_accepted(signal))

    def _refuse(self, request: Answer | Signal, refusal: RequestRefused) -> None:
        self._do(
            self.session.request_refused(
                request, refusal.code, str(refusal), refusal.retry_after_ms, refusal.by, refusal.at
            )
        )

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("connection %s: %s", self.session.connection_id, error, exc_info=error)
            self.close(CloseCode.INTERNAL, "something in the hub failed")
