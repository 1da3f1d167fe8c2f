"""The same verbs for synchronous code: scripts, threads, Flask, Celery.

A broadcaster here runs its own event loop in a daemon thread, begun when first needed; any number of threads may speak
through it. Each call returns once the event is durable, or raises, by the deadline. After a fork the child begins anew,
under a name of its own; the parent doesn't notice. At interpreter exit what is on its way is given a moment more.

Inside a running event loop these verbs would block it, and refuse: await the ones of `broadcasters` there.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine
from functools import wraps
from types import TracebackType
from typing import TYPE_CHECKING, Any, Concatenate, Final, ParamSpec, Self, TypeVar

from broadcasters import broadcaster as awaited
from broadcasters import streamed_message
from broadcasters.errors import BroadcasterClosed, PlancastError
from broadcasters.events import MessageType
from broadcasters.loop_thread import Station, no_fork
from broadcasters.outbox import MAX_BYTES, MAX_EVENTS, OutboxStatistics

if TYPE_CHECKING:
    from redis.asyncio import Redis, RedisCluster

__all__ = [
    "Broadcaster",
    "Message",
    "close_default",
    "message",
    "send",
    "send_agent_message",
    "send_all",
    "send_artifact",
    "send_input_request",
    "send_input_response",
    "send_plan_update",
    "send_step_update",
    "send_tool_call",
]

P = ParamSpec("P")
T = TypeVar("T")

GRACE: Final = 1.0
"""Seconds past the deadline, for the better error of the two: the outbox knows more than a caller who just waited."""


def _blocking(
    verb: Callable[Concatenate[awaited.Broadcaster, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[Broadcaster, P], T]:
    """The same verb, waited for."""

    @wraps(verb)
    def wait(self: Broadcaster, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self.wait_for(lambda broadcaster: verb(broadcaster, *args, **kwargs))

    return wait


class Message:
    """As `broadcasters.streamed_message.Message`, for synchronous code: `with b.message(…) as m: m.write("…")`."""

    def __init__(self, message: streamed_message.Message, station: Station, patience: float) -> None:
        self._message, self._station, self._patience = message, station, patience

    @property
    def message_id(self) -> str:
        return self._message.message_id

    def write(self, text: str) -> None:
        """Add text. Returns soon unless much is waiting for the log; what failed meanwhile is raised here."""
        self._station.call(self._message.write(text), self._patience)

    def __enter__(self) -> Self:
        self._station.call(self._message.__aenter__(), self._patience)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._station.call(self._message.__aexit__(kind, error, trace), self._patience)
        except PlancastError:
            if error is None:
                raise


class Broadcaster:
    """As `broadcasters.Broadcaster`, for synchronous code and any number of threads: `with Broadcaster(url) as b:`.

    Nothing is opened, and no thread begun, before the first event. `close` it, or leave that to interpreter exit.
    """

    def __init__(
        self,
        url: str | Redis | RedisCluster | None = None,
        *,
        producer: str | None = None,
        deadline: float = 30.0,
        max_events: int = MAX_EVENTS,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self._url, self._producer, self._pid = url, producer, os.getpid()
        self._deadline, self._max_events, self._max_bytes = deadline, max_events, max_bytes
        self._patience = min(deadline + GRACE, threading.TIMEOUT_MAX)
        self._station: Station | None = None
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    send = _blocking(awaited.Broadcaster.send)
    send_all = _blocking(awaited.Broadcaster.send_all)
    send_plan_update = _blocking(awaited.Broadcaster.send_plan_update)
    send_agent_message = _blocking(awaited.Broadcaster.send_agent_message)
    send_step_update = _blocking(awaited.Broadcaster.send_step_update)
    send_tool_call = _blocking(awaited.Broadcaster.send_tool_call)
    send_artifact = _blocking(awaited.Broadcaster.send_artifact)
    send_input_request = _blocking(awaited.Broadcaster.send_input_request)
    send_input_response = _blocking(awaited.Broadcaster.send_input_response)

    def message(
        self,
        plan_id: str,
        agent_name: str,
        message_type: MessageType = "thinking",
        *,
        step_id: str | None = None,
        message_id: str | None = None,
    ) -> Message:
        """A message said in pieces: `with b.message(plan_id, agent_name) as m: m.write("…")`."""

        async def begin() -> streamed_message.Message:
            return station.broadcaster.message(
                plan_id, agent_name, message_type, step_id=step_id, message_id=message_id
            )

        station = self._begun()
        return Message(station.call(begin(), self._patience), station, self._patience)

    def statistics(self) -> OutboxStatistics:
        """How the outbox stands, and what it has done so far."""

        async def ask() -> OutboxStatistics:
            return station.broadcaster.statistics()

        station = self._begun()
        return station.call(ask(), self._patience)

    def close(self) -> None:
        """Bring what was said to the log, as far as deadlines allow, and end the thread. Closing twice is harmless."""
        self._closed = True
        self.reset()

    def reset(self) -> None:
        """As `close`, but the next event begins anew."""
        station, self._station = self._station, None
        if station and not station.left_behind:
            station.stop(self._patience)

    def wait_for(self, speak: Callable[[awaited.Broadcaster], Coroutine[Any, Any, T]]) -> T:
        station = self._begun()
        return station.call(speak(station.broadcaster), self._patience)

    def _begun(self) -> Station:
        _refuse_in_event_loop()
        station = self._station
        if station is not None and not station.left_behind:
            return station
        if self._closed:
            raise BroadcasterClosed("this broadcaster is closed; say it through one that is open")
        with no_fork:  # nor any other thread that begins one
            if self._station is None or self._station.left_behind:
                self._station = Station(self._make)
            return self._station

    def _make(self) -> awaited.Broadcaster:
        producer, self._producer = self._producer, None
        return awaited.Broadcaster(
            self._url,
            producer=producer if self._pid == os.getpid() else None,  # a name belongs to one broadcaster only
            deadline=self._deadline,
            max_events=self._max_events,
            max_bytes=self._max_bytes,
        )


def _refuse_in_event_loop() -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise RuntimeError("this would block the running event loop; await the verbs of `broadcasters` here instead")


_default = Broadcaster()
message = _default.message
send = _default.send
send_agent_message = _default.send_agent_message
send_all = _default.send_all
send_artifact = _default.send_artifact
send_input_request = _default.send_input_request
send_input_response = _default.send_input_response
send_plan_update = _default.send_plan_update
send_step_update = _default.send_step_update
send_tool_call = _default.send_tool_call


def close_default() -> None:
    """Close the default broadcaster; the next event opens it again. (Interpreter exit closes it anyway.)"""
    _default.reset()
