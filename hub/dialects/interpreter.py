"""Between a client that speaks a dialect and a connection of the hub, which does everything else.

The connection is the ordinary one: it bounds what comes and what waits, knows who the client is and for how long, obeys
drains, and subscribes to plans. To it, the interpreter is the line. What it writes is translated on the way out.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Final

from broadcasters.errors import LogError
from broadcasters.position import Position
from broadcasters.supervision import log_failure
from hub.core.burst import Burst
from hub.core.connection import Connection, RequestRefused
from hub.core.rates import ONE, START
from hub.core.session_states import Phase
from hub.core.subscriber import Since
from hub.dialects.dialect import Act, Find, Follow, HangUp, Refusal, Say, Signal, Speaker, Start, Told, Unfollow
from hub.dialects.dialect_events import retold_by
from hub.dialects.starting import start_plan
from hub.node import Hub
from hub.transports.pull_outlet import Line
from hub.wire.codec import BadFrame, fields_of
from hub.wire.codes import CloseCode, ErrorCode
from hub.wire.frames import is_snapshot

__all__ = ["Encode", "Interpreter", "as_text"]

log = logging.getLogger(__name__)

STARTS_AT_ONCE: Final = 8
"""So many plans of one client may be being started."""
LOOK_UP_S: Final = 10.0
"""For how long the log is waited for."""

Encode = Callable[[Say], bytes]
"""How what is said goes onto the line."""


def as_text(said: Say) -> bytes:
    """A frame of JSON."""
    return json.dumps(said.frame, ensure_ascii=False, separators=(",", ":")).encode()


class Interpreter:
    """An `Outlet`. Give it its connection, and what the client says to `hear`; `finish` it when the client has gone."""

    connection: Connection

    def __init__(self, hub: Hub, line: Line, speaker: Speaker, encode: Encode = as_text) -> None:
        self._hub = hub
        self._line = line
        self._speaker = speaker
        self._encode = encode
        self._greeted = False
        self._starting: set[asyncio.Task[None]] = set()

    # -- the client's side ---------------------------------------------------------------------------------------------

    def hear(self, frame: str | bytes) -> None:
        """The client said something."""
        if not self.connection.weigh(frame):
            return
        try:
            fields = fields_of(str(frame))
        except BadFrame as bad:
            why = bad.message
            self._carry_out(lambda: self._speaker.garbled(why))
            return
        if fields.get("type") == "authenticate":
            self.connection.understand(str(frame))
        elif self.connection.session.phase is Phase.OPEN:
            self._carry_out(lambda: self._speaker.heard(fields))
        else:
            self._refuse(ErrorCode.UNAUTHENTICATED, "authenticate first")

    async def finish(self) -> None:
        """Wait for what is being started: a plan doesn't depend on whoever asked for it."""
        if self._starting:
            await asyncio.wait(self._starting)

    # -- the connection's side -----------------------------------------------------------------------------------------

    @property
    def full(self) -> bool:
        return self._line.full

    def unread(self) -> int:
        return self._line.unread()

    def close(self, code: int, reason: str) -> None:
        self._line.close(code, reason)

    def deliver(self, burst: Burst) -> None:
        self._tell(Told(place, event) for place, event in burst.events)

    def write(self, frame: bytes) -> None:
        if is_snapshot(frame):
            self._tell(retold_by(frame))
            return
        said: dict[str, Any] = json.loads(frame)
        match said["type"]:
            case "connected" if self.connection.session.phase is Phase.OPEN:
                self._greet()
            case "authenticated":
                self._line.write(frame)
                self._greet()
            case "subscription_ended":
                self._refuse(ErrorCode.CONTINUITY_LOST, said["reason"], said["plan_id"], "follow")
            case "error":
                self._refuse(said["code"], said["message"], said.get("plan_id"), said.get("request_id"))
            case _:
                pass  # what a dialect has no words for

    def _greet(self) -> None:
        if not self._greeted:
            self._greeted = True
            self._carry_out(self._speaker.opened)

    def _tell(self, story: Iterable[Told]) -> None:
        self._carry_out(lambda: (act for told in story for act in self._speaker.told(told)))

    def _refuse(self, code: str, message: str, plan_id: str | None = None, act: Any = None) -> None:
        self._carry_out(lambda: self._speaker.refused(Refusal(code, message, plan_id, act)))

    # -- the dialect's side --------------------------------------------------------------------------------------------

    def _carry_out(self, speak: Callable[[], Iterable[Act]]) -> None:
        """Do what the dialect says. A mistake in it costs this client its line, and nobody else anything."""
        try:
            for act in speak():
                if self._line.ending is not None:
                    return
                self._do(act)
        except Exception as error:
            log.error("%s: %s", type(self._speaker).__name__, error, exc_info=error)
            self.connection.close(CloseCode.INTERNAL, "something in the hub failed")

    def _do(self, act: Act) -> None:
        match act:
            case Say():
                self._line.write(self._encode(act))
            case Follow(plan_id, since):
                self._ask(type="subscribe_plan", plan_id=plan_id, since=_written(since), request_id="follow")
            case Unfollow(plan_id):
                self._ask(type="unsubscribe_plan", plan_id=plan_id)
            case Signal(plan_id, signal):
                self._ask(type="plan_signal", plan_id=plan_id, signal=signal, request_id="signal")
            case Start():
                self._start(act)
            case Find():
                self._see_to_it(self._look_up(act))
            case HangUp(code, reason):
                self.connection.close(code, reason)

    def _ask(self, **fields: Any) -> None:
        self.connection.understand(json.dumps(fields))

    def _start(self, start: Start) -> None:
        if len(self._starting) >= STARTS_AT_ONCE:
            self._refuse(
                ErrorCode.TOO_MANY_REQUESTS, "too many plans at once; wait for one to start", start.plan_id, "start"
            )
            return
        self._see_to_it(self._see_to(start))

    def _see_to_it(self, what: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(what, name="what a client of a dialect asked for")
        self._starting.add(task)
        task.add_done_callback(self._starting.discard)
        task.add_done_callback(log_failure)

    async def _look_up(self, find: Find) -> None:
        principal = self.connection.session.principal
        try:
            self.connection.charge(ONE)
            async with asyncio.timeout(LOOK_UP_S):
                page = await self._hub.log.plans(label=find.label, limit=find.limit)
        except (LogError, TimeoutError):
            self._refuse(ErrorCode.UNAVAILABLE, "the log does not answer; try again", act="find")
            return
        except RequestRefused as refusal:
            self._refuse(refusal.code, str(refusal), act="find")
            return
        plans = [plan for plan in page.plans if principal is not None and principal.may("read", plan.plan_id)]
        self._carry_out(lambda: self._speaker.found(plans))

    async def _see_to(self, start: Start) -> None:
        session = self.connection.session
        principal = session.principal
        try:
            if principal is None:
                raise RequestRefused(ErrorCode.UNAUTHENTICATED, "authenticate first")
            if session.phase is Phase.EXPIRED:
                raise RequestRefused(ErrorCode.TOKEN_EXPIRED, "the token expired; authenticate with a new one first")
            self.connection.charge(START)
            await start_plan(self._hub, principal, start)
        except RequestRefused as refusal:
            self._refuse(refusal.code, str(refusal), start.plan_id, "start")
        except Exception as error:
            log.error("plan %s could not be started: %s", start.plan_id, error, exc_info=error)
            self._refuse(ErrorCode.INTERNAL, "something in the hub failed; try again", start.plan_id, "start")
        else:
            self._carry_out(lambda: self._speaker.started(start.plan_id))


def _written(since: Since) -> str | dict[str, Any]:
    return {"epoch": since.epoch, "offset": since.offset} if isinstance(since, Position) else since
