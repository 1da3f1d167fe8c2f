"""One client's connection, the same for every transport: its session, its channels, its outlet."""

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
from hub.core.effects import CheckToken, Close, Confirm, Effect, Join, Leave, Send, SendSignal, SubmitAnswer
from hub.core.rates import ANSWER, ONE
from hub.core.registry import NoRoom, Registry
from hub.core.session import Session
from hub.core.subscriber import Since, Subscriber
from hub.wire.codes import CloseCode, ErrorCode
from hub.wire.server_frames import ServerFrame

__all__ = ["ClientLimits", "ClientOutlet", "Connection", "HubServices", "RequestRefused", "TokenRefused"]

log = logging.getLogger(__name__)


class ClientOutlet(Protocol):
    """What a transport provides to write to one client. No method blocks or raises."""

    @property
    def full(self) -> bool:
        """Whether the outlet holds as much as it may. Its transport calls `drained` when it has sent some of it."""
        ...

    def deliver(self, burst: Burst) -> None:
        """Writes events."""

    def send(self, frame: ServerFrame) -> None:
        """Writes a control frame. There are few of them; they are written even when the outlet is full."""

    def write(self, frame: bytes) -> None:
        """Writes a snapshot's frame, which is encoded already; also when the outlet is full."""

    def unread(self) -> int:
        """Returns how many bytes wait in this process for the client."""
        ...

    def close(self, code: int, reason: str) -> None:
        """Writes what waits, then closes."""


class _ClosedOutlet(ClientOutlet):
    """The outlet of a connection whose client is gone: nothing is written.

    A connection that kept its transport's outlet would form a reference cycle with the transport: both would stay in
    memory until the next full garbage collection."""

    @property
    def full(self) -> bool:
        return False

    def unread(self) -> int:
        return 0


_CLOSED_OUTLET: Final = _ClosedOutlet()  # type: ignore[abstract]


class TokenRefused(Exception):
    """The token is invalid, or could not be checked."""

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.code = code


class RequestRefused(Exception):
    """A request of a client was refused. Of an answer, `by` and `at` say who answered before, and when."""

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


class HubServices(Protocol):
    """What connections require of the rest of the hub."""

    async def authenticate(self, token: str) -> Principal:
        """Returns the token's principal; raises `TokenRefused`."""
        ...

    async def answer(self, answer: SubmitAnswer) -> Position:
        """Appends the answer to the plan's log and returns its position; raises `RequestRefused`."""
        ...

    async def signal(self, signal: SendSignal) -> None:
        """Sends the signal to the engine that runs the plan; raises `RequestRefused`."""


class ClientLimits(Protocol):
    """The limits that one client shares with others of its address or principal."""

    def follow(self, plan_id: str) -> None:
        """Counts a plan that the client follows; raises `RequestRefused`."""

    def unfollow(self, plan_id: str) -> None:
        """Counts it no longer."""

    def charge(self, cost: float) -> None:
        """Charges a request to the client's rate limit; raises `RequestRefused`."""

    def claim(self, principal: Principal) -> None:
        """Counts the connection as this principal's from now on; raises `TokenRefused`."""


class Connection:
    """Carries out the effects of a session, and is the client of its channels."""

    def __init__(
        self,
        session: Session,
        outlet: ClientOutlet,
        registry: Registry,
        limits: ClientLimits,
        services: HubServices,
        counts: HubCounts,
    ) -> None:
        self.session = session
        self.limits = limits
        self.deliver = outlet.deliver
        self._outlet: ClientOutlet = outlet
        self._registry = registry
        self._services = services
        self._counts = counts
        self._joined: dict[str, tuple[Channel, Subscriber]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._stuck: tuple[int, float] | None = None  # the unread bytes, and since when there were no fewer

    # -- called by the transport ---------------------------------------------------------------------------------------

    def begin(self, heartbeat: float, server_time: str) -> None:
        """Sends the first frame; the transport is open."""
        self.carry_out(self.session.begin(server_time, heartbeat))

    def receive(self, frame: str | bytes) -> None:
        """Handles a frame of the client."""
        self._counts.frames_received += 1
        self.carry_out(self.session.receive(frame, time.time()))

    def check_limits(self, frame: str | bytes) -> bool:
        """Counts a frame in another format (a dialect's) against the limits. Returns whether it may be read."""
        self._counts.frames_received += 1
        self.carry_out(self.session.check_limits(frame, time.time()))
        return self.session.listening

    def filled(self) -> None:
        """Stops every subscriber at its position; the outlet is full."""
        for channel, subscriber in self._joined.values():
            channel.filled(subscriber)

    def drained(self) -> None:
        """Continues every subscriber from its position, until the outlet is full again."""
        self._stuck = None
        for plan_id, (channel, subscriber) in list(self._joined.items()):
            if self._outlet.full:
                return
            if plan_id in self._joined:  # last in turn next time, so that no plan starves the others
                self._joined[plan_id] = self._joined.pop(plan_id)
            channel.pump(subscriber)

    def tick(self, now: float, slow_seconds: float) -> None:
        """Ends what timed out by `now` (Unix time). Closes a client that read nothing for `slow_seconds`."""
        if now >= self.session.due():
            self.carry_out(self.session.tick(now))
        if not self._outlet.full:
            self._stuck = None
            return
        unread = self._outlet.unread()
        before, since = self._stuck or (unread, now)
        self._stuck = unread, now if unread < before else since
        if now - self._stuck[1] > slow_seconds:
            reason = "the client read nothing for too long; resume from the last position received"
            closing = self.session.close(CloseCode.SLOW_CONSUMER, reason)
            self._counts.slow_consumers += bool(closing)  # empty if it was closed already
            self.carry_out(closing)

    def go_away(self, reconnect_after_ms: int) -> None:
        """Tells the client when to reconnect, and closes; the hub is being drained."""
        self.carry_out(self.session.going_away(reconnect_after_ms))

    def close(self, code: CloseCode, reason: str) -> None:
        """Closes the session for a reason of the transport's."""
        self.carry_out(self.session.close(code, reason))

    def lost(self) -> None:
        """The transport has closed. Leaves all channels; nothing is written any more."""
        self.session.close(CloseCode.NORMAL, "the transport has closed")
        self._leave_all()
        for task in self._tasks:
            task.cancel()
        self._outlet = _CLOSED_OUTLET
        self.deliver = _CLOSED_OUTLET.deliver

    @property
    def subscribers(self) -> Iterable[Subscriber]:
        """This client's subscriber in each of its channels."""
        return [subscriber for _, subscriber in self._joined.values()]

    # -- called by channels --------------------------------------------------------------------------------------------

    @property
    def full(self) -> bool:
        return self._outlet.full

    def placed(self, plan_id: str, position: Position, head: int, reason: str | None) -> None:
        self._report(self.session.subscriptions.placed(plan_id, position, head, reason))

    def snapshot(self, frame: bytes) -> None:
        self._outlet.write(frame)

    def refused(self, plan_id: str, message: str, retry_after_ms: int) -> None:
        self._gone(plan_id)
        self._report(self.session.subscriptions.refused(plan_id, message, retry_after_ms))

    def ended(self, plan_id: str, code: int, reason: str) -> None:
        self._gone(plan_id)
        self._report(self.session.subscriptions.ended(plan_id, code, reason))

    # -- effects of the session ----------------------------------------------------------------------------------------

    def _report(self, effects: list[Effect]) -> None:
        self.carry_out(self.session.settled(effects))

    def carry_out(self, effects: Iterable[Effect]) -> None:
        """Carries out what the session requires, in its order."""
        for effect in effects:
            match effect:
                case Send(frame, refuses):
                    if refuses is not None:
                        self._counts.frames_refused[refuses] += 1
                    self._outlet.send(frame)
                case Join(plan_id, since):
                    self._join(plan_id, since)
                case Confirm(plan_id):
                    self._confirm(plan_id)
                case Leave(plan_id):
                    self._leave(plan_id)
                case CheckToken(token):
                    self._spawn(self._authenticate(token))
                case SubmitAnswer():
                    self._spawn(self._answer(effect))
                case SendSignal():
                    self._spawn(self._signal(effect))
                case Close(code, reason):
                    self._leave_all()
                    self._outlet.close(code, reason)

    def _join(self, plan_id: str, since: Since | None) -> None:
        try:
            self.limits.follow(plan_id)
        except RequestRefused as refusal:
            message, retry = str(refusal), refusal.retry_after_ms
            self._report(self.session.subscriptions.refused(plan_id, message, retry, refusal.code))
            return
        try:
            channel, subscriber = self._registry.join(self, plan_id, since)
        except NoRoom as full:
            self.limits.unfollow(plan_id)
            self._report(self.session.subscriptions.refused(plan_id, str(full), 5000))
            return
        self._joined[plan_id] = channel, subscriber
        channel.start(subscriber)

    def _confirm(self, plan_id: str) -> None:
        channel, subscriber = self._joined[plan_id]
        if (position := channel.position_of(subscriber)) is not None:  # None: the channel is about to report it anyway
            self.placed(plan_id, position, channel.head, None)

    def _leave(self, plan_id: str) -> None:
        if plan_id in self._joined:
            channel, subscriber = self._joined[plan_id]
            channel.leave(subscriber)
            self._gone(plan_id)

    def _gone(self, plan_id: str) -> None:
        """Forgets a subscriber that has left its channel."""
        if (joined := self._joined.pop(plan_id, None)) is not None:
            self.limits.unfollow(plan_id)
            self._registry.left(joined[0])

    def _leave_all(self) -> None:
        for plan_id in list(self._joined):
            self._leave(plan_id)

    async def _authenticate(self, token: str) -> None:
        try:
            principal = await self._services.authenticate(token)
            self.limits.claim(principal)
        except TokenRefused as refusal:
            self._counts.auth_failures[refusal.code.value] += 1
            self.carry_out(self.session.authentication_failed(refusal.code, str(refusal)))
        else:
            self.carry_out(self.session.authenticated(principal, time.time()))

    async def _answer(self, request: SubmitAnswer) -> None:
        try:
            self.limits.charge(ANSWER)
            position = await self._services.answer(request)
        except RequestRefused as refusal:
            self._refuse(request, refusal)
        else:
            self._report(self.session.requests.input_accepted(request, position))

    async def _signal(self, request: SendSignal) -> None:
        try:
            self.limits.charge(ONE)
            await self._services.signal(request)
        except RequestRefused as refusal:
            self._refuse(request, refusal)
        else:
            self._report(self.session.requests.signal_accepted(request))

    def _refuse(self, request: SubmitAnswer | SendSignal, refusal: RequestRefused) -> None:
        retry = refusal.retry_after_ms
        effects = self.session.requests.refused(request, refusal.code, str(refusal), retry, refusal.by, refusal.at)
        self._report(effects)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("connection %s: %s", self.session.connection_id, error, exc_info=error)
            self.close(CloseCode.INTERNAL, "the hub has an internal error")
