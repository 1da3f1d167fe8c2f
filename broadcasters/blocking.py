"""The same API for synchronous code: scripts, threads, Flask, Celery.

A broadcaster here runs its own event loop in a daemon thread, which the first call starts; any number of threads may
use it. Each call returns once its event is durable, or raises, within the deadline. At interpreter exit, events on their
way get a little more time.

Inside a running event loop these calls would block it, and raise: await those of `broadcasters` there.

A process may fork: the child starts a thread of its own, under a new producer name.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Sequence
from functools import wraps
from types import TracebackType
from typing import TYPE_CHECKING, Any, Concatenate, Final, ParamSpec, Self, TypeVar

from broadcasters.broadcaster import Broadcaster as AsyncBroadcaster
from broadcasters.errors import BroadcasterClosed, PlancastError
from broadcasters.events import MessageType, SignalName
from broadcasters.loop_thread import NO_FORK, LoopThread
from broadcasters.outbox import MAX_BYTES, MAX_EVENTS, OutboxStatistics
from broadcasters.streamed_message import Message as AsyncMessage
from broadcasters.usage import UsageFields

if TYPE_CHECKING:
    from redis.asyncio import Redis, RedisCluster

    from broadcasters.signals import SignalRequest
    from broadcasters.working import Work

__all__ = [
    "BlockingBroadcaster",
    "BlockingMessage",
    "BlockingWork",
    "Broadcaster",
    "Message",
    "approve",
    "ask",
    "await_input",
    "choose",
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
    "signals",
    "working",
]

P = ParamSpec("P")
T = TypeVar("T")

GRACE: Final = 1.0
"""Seconds that a caller waits past the deadline, since the outbox raises the more precise error."""


def _blocking(
    verb: Callable[Concatenate[AsyncBroadcaster, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[BlockingBroadcaster, P], T]:
    """The same verb as a blocking call."""

    @wraps(verb)
    def wait(self: BlockingBroadcaster, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self.wait_for(lambda broadcaster: verb(broadcaster, *args, **kwargs))

    return wait


def _waiting(
    verb: Callable[Concatenate[AsyncBroadcaster, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[BlockingBroadcaster, P], T]:
    """The same verb as a call that blocks for as long as it takes."""

    @wraps(verb)
    def wait(self: BlockingBroadcaster, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self.wait_for(lambda broadcaster: verb(broadcaster, *args, **kwargs), patiently=True)

    return wait


class BlockingMessage:
    """As `broadcasters.Message`, for synchronous code. `BlockingBroadcaster.message` makes it."""

    def __init__(self, message: AsyncMessage, thread: LoopThread, patience: float) -> None:
        self._message, self._thread, self._patience = message, thread, patience

    @property
    def message_id(self) -> str:
        """The id that all parts of this message carry."""
        return self._message.message_id

    def write(self, text: str) -> None:
        """Add text to the message; see `broadcasters.Message.write`."""
        self._thread.call(self._message.write(text), self._patience)

    def report_usage(self, usage: UsageFields) -> None:
        """Report what was used of a model for this message; see `broadcasters.Message.report_usage`."""
        self._message.report_usage(usage)

    def __enter__(self) -> Self:
        self._thread.call(self._message.__aenter__(), self._patience)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._thread.call(self._message.__aexit__(kind, error, trace), self._patience)
        except PlancastError:
            if error is None:
                raise


class BlockingWork:
    """As `broadcasters.Work`, for synchronous code. `BlockingBroadcaster.working` makes it."""

    def __init__(self, work: Work, thread: LoopThread, patience: float) -> None:
        self._work, self._thread, self._patience = work, thread, patience
        self.plan_id, self.worker_id = work.plan_id, work.worker_id

    @property
    def cancelled(self) -> bool:
        """Whether someone has cancelled the plan; see `broadcasters.Work.cancelled`."""
        return self._work.cancelled

    @property
    def paused(self) -> bool:
        """Whether the plan is paused."""
        return self._work.paused

    @property
    def taken_over(self) -> bool:
        """Whether another worker has begun to work on the plan."""
        return self._work.taken_over

    def checkpoint(self) -> None:
        """Wait while the plan is paused; see `broadcasters.Work.checkpoint`."""
        self._thread.call(self._work.checkpoint(), None)

    def unless_cancelled(self, work: Callable[[AsyncBroadcaster], Coroutine[Any, Any, T]]) -> T:
        """Run a coroutine function of the broadcaster, until the plan is cancelled; see `broadcasters.Work`.

        Example:
            city = work.unless_cancelled(lambda b: b.ask("plan-1", "Which city?", key="city"))
        """

        async def run() -> T:
            return await self._work.unless_cancelled(work(self._thread.broadcaster))

        return self._thread.call(run(), None)

    def signals(self) -> Generator[SignalRequest]:
        """Yield each request to the plan that arrives after this call; see `broadcasters.Work.signals`."""

        async def begin() -> AsyncGenerator[SignalRequest]:
            return self._work.signals()

        return _each(self._thread, self._thread.call(begin(), self._patience))

    def __enter__(self) -> Self:
        self._thread.call(self._work.__aenter__(), self._patience)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        return self._thread.call(self._work.__aexit__(kind, error, trace), self._patience)


def _each(thread: LoopThread, items: AsyncGenerator[T]) -> Generator[T]:
    """The items of an async generator that never ends, from the thread's event loop."""
    try:
        while True:
            yield thread.call(anext(items), None)
    finally:
        thread.call(items.aclose(), None)


class BlockingBroadcaster:
    """As `broadcasters.Broadcaster`, for synchronous code and any number of threads.

    The first event opens the log and starts the thread. Use it as a context manager, or `close` it; otherwise
    interpreter exit does. Its public name is `broadcasters.blocking.Broadcaster`.

    Args:
        url: The log, as for `broadcasters.Broadcaster`.
        producer: A name never used before; see `broadcasters.Broadcaster`.
        deadline: Seconds for which an event is tried before its sender gets `LogUnavailable`.
        max_events: Events that may wait for the log.
        max_bytes: Bytes that may wait for the log.

    Example:
        with Broadcaster("redis://localhost") as broadcaster:
            broadcaster.send_agent_message("plan-1", "Data Analyst", "Reading the orders…")
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
        self._thread: LoopThread | None = None
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    send = _blocking(AsyncBroadcaster.send)
    send_all = _blocking(AsyncBroadcaster.send_all)
    send_plan_update = _blocking(AsyncBroadcaster.send_plan_update)
    send_agent_message = _blocking(AsyncBroadcaster.send_agent_message)
    send_step_update = _blocking(AsyncBroadcaster.send_step_update)
    send_tool_call = _blocking(AsyncBroadcaster.send_tool_call)
    send_artifact = _blocking(AsyncBroadcaster.send_artifact)
    send_input_request = _blocking(AsyncBroadcaster.send_input_request)
    send_input_response = _blocking(AsyncBroadcaster.send_input_response)
    await_input = _waiting(AsyncBroadcaster.await_input)
    ask = _waiting(AsyncBroadcaster.ask)
    choose = _waiting(AsyncBroadcaster.choose)
    approve = _waiting(AsyncBroadcaster.approve)

    def message(
        self,
        plan_id: str,
        agent_name: str,
        message_type: MessageType = "thinking",
        *,
        step_id: str | None = None,
        message_id: str | None = None,
    ) -> BlockingMessage:
        """Return a message to be written piece by piece; see `broadcasters.Broadcaster.message`.

        Example:
            with broadcaster.message("plan-1", "Writer", "result") as message:
                message.write("…")
        """

        async def begin() -> AsyncMessage:
            return thread.broadcaster.message(plan_id, agent_name, message_type, step_id=step_id, message_id=message_id)

        thread = self._started()
        return BlockingMessage(thread.call(begin(), self._patience), thread, self._patience)

    def signals(self, plan_id: str) -> Generator[SignalRequest]:
        """Yield people's requests to the plan, from now on, as they arrive; see `broadcasters.Broadcaster.signals`."""

        async def begin() -> AsyncGenerator[SignalRequest]:
            return thread.broadcaster.signals(plan_id)

        thread = self._started()
        return _each(thread, thread.call(begin(), self._patience))

    def working(
        self,
        plan_id: str,
        *,
        name: str | None = None,
        lease: float = 30.0,
        obeys: Sequence[SignalName] = ("cancel", "pause", "resume"),
        take_over: bool = False,
    ) -> BlockingWork:
        """Report that this program works on the plan, and receive signals; see `broadcasters.Broadcaster.working`.

        Example:
            with broadcaster.working("plan-1", name="Mailer") as work:
                for letter in letters:
                    work.checkpoint()
                    send(letter)
        """

        async def begin() -> Work:
            broadcaster = thread.broadcaster
            return broadcaster.working(plan_id, name=name, lease=lease, obeys=obeys, take_over=take_over)

        thread = self._started()
        return BlockingWork(thread.call(begin(), self._patience), thread, self._patience)

    def statistics(self) -> OutboxStatistics:
        """Return the state of the outbox, and its counters."""

        async def read() -> OutboxStatistics:
            return thread.broadcaster.statistics()

        thread = self._started()
        return thread.call(read(), self._patience)

    def close(self) -> None:
        """Append what was sent, as far as deadlines allow, and end the thread. Closing twice is harmless."""
        self._closed = True
        self.reset()

    def reset(self) -> None:
        """As `close`, but the next event starts the thread again."""
        thread, self._thread = self._thread, None
        if thread and not thread.left_behind:
            thread.stop(self._patience)

    def wait_for(self, work: Callable[[AsyncBroadcaster], Coroutine[Any, Any, T]], *, patiently: bool = False) -> T:
        """Run a coroutine function of the broadcaster in its event loop, and return the result.

        Args:
            work: The coroutine function.
            patiently: Wait for as long as it takes, instead of the deadline and a little more.

        Raises:
            RuntimeError: Called inside a running event loop, which it would block.
        """
        thread = self._started()
        return thread.call(work(thread.broadcaster), None if patiently else self._patience)

    def _started(self) -> LoopThread:
        _refuse_in_event_loop()
        thread = self._thread
        if thread is not None and not thread.left_behind:
            return thread
        if self._closed:
            raise BroadcasterClosed("this broadcaster is closed; send through one that is open")

        with NO_FORK:  # also excludes another thread that starts one
            if self._thread is None or self._thread.left_behind:
                self._thread = LoopThread(self._make)
            return self._thread

    def _make(self) -> AsyncBroadcaster:
        producer, self._producer = self._producer, None
        return AsyncBroadcaster(
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


Broadcaster = BlockingBroadcaster
Message = BlockingMessage

_default = Broadcaster()
approve = _default.approve
ask = _default.ask
await_input = _default.await_input
choose = _default.choose
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
signals = _default.signals
working = _default.working


def close_default() -> None:
    """Close the default broadcaster; the next event opens it again. Otherwise interpreter exit closes it."""
    _default.reset()
