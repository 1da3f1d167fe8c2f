"""Runs a dialect on a connection of the hub: translates in both directions, and carries out the dialect's actions.

The connection is the ordinary one: it limits what is received and what waits, authenticates the client, observes drains
and subscribes to plans. The interpreter is its outlet.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Final

from broadcasters.errors import LogError
from broadcasters.supervision import log_failure
from hub.access.principal import Principal
from hub.core.burst import Burst
from hub.core.connection import Connection, RequestRefused
from hub.core.rates import ONE, START
from hub.core.session_states import Phase
from hub.dialects.dialect import (
    Action,
    ControlPlan,
    Dialect,
    Disconnect,
    FindPlans,
    Follow,
    FollowedEvent,
    RefusedAction,
    SendFrame,
    Start,
    Unfollow,
    snapshot_frame_events,
)
from hub.engine_port import EngineError
from hub.node import Hub
from hub.transports.pull_outlet import PullOutlet
from hub.wire.codec import BadFrame, fields_of
from hub.wire.codes import CloseCode, ErrorCode
from hub.wire.server_frames import Authenticated, Connected, Error, ServerFrame, SubscriptionEnded

__all__ = ["Encode", "Interpreter", "as_text", "start_plan"]

log = logging.getLogger(__name__)

MAX_TASKS: Final = 8
"""How many plans of one client may be starting at the same time."""
FIND_SECONDS: Final = 10.0
"""How long the log may take to find plans."""

Encode = Callable[[SendFrame], bytes]
"""Encodes a frame as it is sent."""


def as_text(action: SendFrame) -> bytes:
    """Encodes a frame as JSON."""
    return json.dumps(action.frame, ensure_ascii=False, separators=(",", ":")).encode()


class Interpreter:
    """The outlet of one dialect client's connection. Set `connection` first, pass received frames to `receive`, and
    await `finish` when the client has gone."""

    connection: Connection

    def __init__(self, hub: Hub, outlet: PullOutlet, dialect: Dialect, encode: Encode = as_text) -> None:
        self._hub = hub
        self._outlet = outlet
        self._dialect = dialect
        self._encode = encode
        self._opened = False
        self._tasks: set[asyncio.Task[None]] = set()

    # -- called by the transport ---------------------------------------------------------------------------------------

    def receive(self, frame: str | bytes) -> None:
        """Handles a frame of the client."""
        if not self.connection.check_limits(frame):
            return
        try:
            fields = fields_of(str(frame))
        except BadFrame as bad:
            reason = bad.message
            self._carry_out(lambda: self._dialect.on_invalid_message(reason))
            return
        if fields.get("type") == "authenticate":
            self.connection.carry_out(self.connection.session.handle(str(frame)))
        elif self.connection.session.phase is Phase.OPEN:
            self._carry_out(lambda: self._dialect.on_message(fields))
        else:
            self._refuse(ErrorCode.UNAUTHENTICATED, "authenticate first")

    async def finish(self) -> None:
        """Waits for plans that are being started: they do not depend on the client."""
        if self._tasks:
            await asyncio.wait(self._tasks)

    # -- called by the connection --------------------------------------------------------------------------------------

    @property
    def full(self) -> bool:
        return self._outlet.full

    def unread(self) -> int:
        return self._outlet.unread()

    def close(self, code: int, reason: str) -> None:
        self._outlet.close(code, reason)

    def deliver(self, burst: Burst) -> None:
        self._pass_on(FollowedEvent(position, event) for _, position, event in burst.events if event is not None)

    def write(self, frame: bytes) -> None:
        self._pass_on(snapshot_frame_events(frame))

    def send(self, frame: ServerFrame) -> None:
        match frame:
            case Connected() if self.connection.session.phase is Phase.OPEN:
                self._open()
            case Authenticated():
                self._outlet.send(frame)
                self._open()
            case SubscriptionEnded():
                self._refuse(ErrorCode.CONTINUITY_LOST, frame.reason, frame.plan_id, "follow")
            case Error():
                self._refuse(frame.code, frame.message, frame.plan_id, frame.request_id)
            case _:
                pass  # dialects have no equivalent

    def _open(self) -> None:
        if not self._opened:
            self._opened = True
            self._carry_out(self._dialect.on_open)

    def _pass_on(self, events: Iterable[FollowedEvent]) -> None:
        self._carry_out(lambda: (action for event in events for action in self._dialect.on_event(event)))

    def _refuse(self, code: str, message: str, plan_id: str | None = None, action: Any = None) -> None:
        self._carry_out(lambda: self._dialect.on_refused(RefusedAction(code, message, plan_id, action)))

    # -- actions of the dialect ----------------------------------------------------------------------------------------

    def _carry_out(self, actions: Callable[[], Iterable[Action]]) -> None:
        """Carries out the actions. An exception in the dialect closes this connection; others are not affected."""
        try:
            for action in actions():
                if self._outlet.ending is not None:
                    return
                self._do(action)
        except Exception as error:
            log.error("%s: %s", type(self._dialect).__name__, error, exc_info=error)
            self.connection.close(CloseCode.INTERNAL, "the hub has an internal error")

    def _do(self, action: Action) -> None:
        session = self.connection.session
        match action:
            case SendFrame():
                self._outlet.write(self._encode(action))
            case Follow(plan_id, since):  # the request ids come back in errors and name the refused action
                self.connection.carry_out(session.subscribe(plan_id, since, "follow"))
            case Unfollow(plan_id):
                self.connection.carry_out(session.unsubscribe(plan_id, None))
            case ControlPlan(plan_id, signal):
                self.connection.carry_out(session.signal(plan_id, signal, "signal"))
            case Start():
                self._start(action)
            case FindPlans():
                self._spawn(self._find(action))
            case Disconnect(code, reason):
                self.connection.close(code, reason)

    def _start(self, start: Start) -> None:
        if len(self._tasks) >= MAX_TASKS:
            message = "too many plans are being started; wait for one of them"
            self._refuse(ErrorCode.TOO_MANY_REQUESTS, message, start.plan_id, "start")
            return
        self._spawn(self._start_plan(start))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work, name="a dialect's action")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(log_failure)

    async def _find(self, find: FindPlans) -> None:
        principal = self.connection.session.principal
        try:
            self.connection.limits.charge(ONE)
            async with asyncio.timeout(FIND_SECONDS):
                page = await self._hub.log.plans(label=find.label, limit=find.limit)
        except (LogError, TimeoutError):
            self._refuse(ErrorCode.UNAVAILABLE, "the log does not answer; try again", action="find")
            return
        except RequestRefused as refusal:
            self._refuse(refusal.code, str(refusal), action="find")
            return
        plans = [plan for plan in page.plans if principal is not None and principal.may("read", plan.plan_id)]
        self._carry_out(lambda: self._dialect.on_found(plans))

    async def _start_plan(self, start: Start) -> None:
        session = self.connection.session
        principal = session.principal
        try:
            if principal is None:
                raise RequestRefused(ErrorCode.UNAUTHENTICATED, "authenticate first")
            if session.phase is Phase.EXPIRED:
                raise RequestRefused(ErrorCode.TOKEN_EXPIRED, "the token expired; authenticate with a new one first")
            self.connection.limits.charge(START)
            await start_plan(self._hub, principal, start)
        except RequestRefused as refusal:
            self._refuse(refusal.code, str(refusal), start.plan_id, "start")
        except Exception as error:
            log.error("plan %s could not be started: %s", start.plan_id, error, exc_info=error)
            self._refuse(ErrorCode.INTERNAL, "the hub has an internal error; try again", start.plan_id, "start")
        else:
            self._carry_out(lambda: self._dialect.on_started(start.plan_id))


async def start_plan(hub: Hub, principal: Principal, start: Start) -> None:
    """Starts a plan with the principal's rights; raises `RequestRefused`. Starting the same plan_id again does nothing."""
    if not principal.may("start", start.plan_id):
        raise RequestRefused(ErrorCode.FORBIDDEN, "no right to start this plan")
    try:
        await hub.start_plan(start.template, start.input, start.plan_id, principal.subject)
    except EngineError as error:
        raise RequestRefused(error.code, str(error)) from None
