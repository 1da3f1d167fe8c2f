"""`Broadcaster` sends the events of plans to a log; a call returns once its event is durable."""

from __future__ import annotations

import asyncio
import os
import secrets
import string
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, Self
from weakref import WeakSet

from broadcasters.errors import InvalidEvent, LogUnavailable
from broadcasters.events import InputKind, MessageType, PlanEvent, PlanUpdate, SignalName, check_plan_id
from broadcasters.log import LazyLog, log_of
from broadcasters.log.contract import MAX_APPEND_BYTES, MAX_APPEND_EVENTS, Appended, Entry, PlanLog, runs
from broadcasters.outbox import MAX_BYTES, MAX_EVENTS, Outbox, OutboxStatistics
from broadcasters.position import Position
from broadcasters.questions import NO_DEFAULT, Answer, InputQuestion, QuestionVerbs
from broadcasters.streamed_message import Message
from broadcasters.supervision import pauses
from broadcasters.tracing import current_traceparent
from broadcasters.verbs import Verbs

if TYPE_CHECKING:
    from redis.asyncio import Redis, RedisCluster

    from broadcasters.asking import OpenQuestions
    from broadcasters.checkpointing import DueCheckpoints
    from broadcasters.signals import SignalRequest
    from broadcasters.working import Work, WorkOutlets

__all__ = ["Broadcaster"]

MAX_KEY: Final = 256
MAX_PRODUCER: Final = 128

_ALPHABET: Final = string.digits + string.ascii_letters


class Broadcaster(Verbs, QuestionVerbs):
    """Sends the events of plans to a log. Belongs to one event loop.

    Each `send_…` returns the event's position once the event is durable. Use it as a context manager, or `close` it.

    Args:
        url: The log, such as `sqlite:///plans.db` or `redis://host`, or a configured client of `redis.asyncio`; see
            `log_of`. Without one: PLANCAST_LOG, or the embedded default.
        log: A log to use instead; its owner opens and closes it.
        producer: A name never used before, by which the log recognises repeated appends. Without one, a new one is
            made. (A forked child gets another.)
        deadline: Seconds for which an event is tried before its sender gets `LogUnavailable`.
        max_events: Events that may wait for the log. Beyond it senders wait, and get `OutboxFull` after their deadline.
        max_bytes: Bytes that may wait for the log, likewise.

    Raises:
        LogMisconfigured: The URL names no log.
        ValueError: Both a url and a log were given, or one of the others is out of range.

    Example:
        async with Broadcaster("redis://localhost") as broadcaster:
            await broadcaster.send_agent_message("plan-1", "Data Analyst", "Reading the orders…")
    """

    def __init__(
        self,
        url: str | Redis | RedisCluster | None = None,
        *,
        log: PlanLog | None = None,
        producer: str | None = None,
        deadline: float = 30.0,
        max_events: int = MAX_EVENTS,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        if log is not None and url is not None:
            raise ValueError("expected a url or a log; got both")
        self._log = LazyLog(log, lambda: log_of(url))
        self._deadline = deadline
        self._ids = 0
        self._checkpoints: DueCheckpoints | None = None
        self._questions: OpenQuestions | None = None
        self._outbox = Outbox(
            self._log,
            _checked_producer(producer) if producer is not None else _new_producer(),
            appended=self._appended,
            deadline=deadline,
            max_events=max_events,
            max_bytes=max_bytes,
        )
        _outboxes.add(self._outbox)

    async def __aenter__(self) -> Self:
        return await self.open()

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def open(self) -> Self:
        """Open the log now, trying until the deadline. Otherwise the first event opens it.

        Raises:
            LogUnavailable: The log could not be reached within the deadline.
            LogMisconfigured: The log refused.
        """
        problem: Exception | None = None
        try:
            async with asyncio.timeout(self._deadline):
                for pause in pauses(self._deadline / 10):
                    try:
                        await self._log.enter()
                        self._log.leave()
                        break
                    except LogUnavailable as error:
                        problem = error
                    await asyncio.sleep(pause)
        except BaseException as error:
            await self.close()
            if isinstance(error, TimeoutError):
                why = f"; {problem}" if problem else ""
                raise LogUnavailable(f"the log could not be opened within {self._deadline:g} s{why}") from problem
            raise
        return self

    async def close(self) -> None:
        """Append what was sent, as far as deadlines allow, and close the log. Closing twice is harmless."""
        try:
            await self._outbox.close()
            if self._checkpoints is not None:
                await self._checkpoints.close()
        finally:
            await self._log.close()

    async def send(self, event: PlanEvent, *, key: str | None = None) -> Position:
        return await self._outbox.deliver(event, self._entry(event, key))

    async def send_all(
        self, plan_id: str, events: Iterable[PlanEvent], *, key: str | None = None, whole: bool = False
    ) -> Sequence[Position]:
        check_plan_id(plan_id)
        batch = [(event, self._entry(event, key and f"{key}.{i}")) for i, event in enumerate(events)]
        for event, _ in batch:
            if event.plan_id != plan_id:
                raise InvalidEvent("plan_id", f"all events must belong to plan {plan_id!r}; got {event.plan_id!r}")
        if whole and len([*runs(batch)]) > 1:
            most = f"{MAX_APPEND_EVENTS} events of {MAX_APPEND_BYTES:,} bytes together, as stored"
            raise InvalidEvent("events", f"too many to be stored as one; expected at most {most}")
        return await self._outbox.deliver_all(batch)

    def message(
        self,
        plan_id: str,
        agent_name: str,
        message_type: MessageType = "thinking",
        *,
        step_id: str | None = None,
        message_id: str | None = None,
    ) -> Message:
        """Return a message to be written piece by piece.

        Args:
            plan_id: The plan.
            agent_name: The agent whose message it is.
            message_type: How it is shown: `thinking`, `action`, `result` or `clarification_needed`.
            step_id: The step it belongs to, if any.
            message_id: An id unique in the plan; without one, a new one is made.

        Raises:
            InvalidEvent: One of these is not valid in an event.

        Example:
            async with broadcaster.message("plan-1", "Writer", "result") as message:
                await message.write("…")
        """
        fields = {
            "plan_id": plan_id,
            "agent_name": agent_name,
            "message_type": message_type,
            "step_id": step_id,
            "message_id": message_id if message_id is not None else self._next_id(),
        }
        return Message(fields, self._post)

    async def await_input(
        self,
        plan_id: str,
        kind: InputKind,
        prompt: str,
        *,
        options: Sequence[Any] | None = None,
        schema: Mapping[str, Any] | None = None,
        expires_in: float | timedelta | None = None,
        default: Any = NO_DEFAULT,
        key: str | None = None,
        step_id: str | None = None,
        agent_name: str | None = None,
    ) -> Answer:
        seconds = expires_in.total_seconds() if isinstance(expires_in, timedelta) else expires_in
        question = InputQuestion(kind, prompt, options, schema, seconds, default)
        return await self._asking().ask(plan_id, question, key=key, step_id=step_id, agent_name=agent_name)

    def signals(self, plan_id: str) -> AsyncGenerator[SignalRequest]:
        """Yield people's requests to cancel, pause or resume the plan, from now on, as they arrive.

        A hub accepts them while a program works on the plan and obeys them; see `working`.

        Args:
            plan_id: The plan.

        Example:
            async for signal in broadcaster.signals("plan-1"):
                print(signal.name, signal.by)
        """
        from broadcasters.working import signals_after

        return signals_after(self._work_outlets(), check_plan_id(plan_id))

    def working(
        self,
        plan_id: str,
        *,
        name: str | None = None,
        lease: float = 30.0,
        obeys: Sequence[SignalName] = ("cancel", "pause", "resume"),
        take_over: bool = False,
    ) -> Work:
        """Report that this program works on the plan, and receive the signals that people send to it.

        Signs of life are sent until the block is left. A program that sends none for the length of its lease is reported
        as gone, and its steps as stalled. `PlanCancelled` ends the block, and the plan is reported as cancelled.

        Args:
            plan_id: The plan.
            name: The agent's name for people. A worker takes over from one of the same name, as when it is started again.
            lease: Seconds without a sign of life after which the program is taken for dead, up to a day.
            obeys: The signals that it obeys: front ends offer no others.
            take_over: Take the plan over from another worker.

        Raises:
            PlanBusy: On entering: another worker works on the plan.
            InvalidEvent: An argument is wrong.
            LogError: On entering: the log could not be read, or the beginning not be sent.

        Example:
            async with broadcaster.working("plan-1", name="Mailer") as work:
                for letter in letters:
                    await work.checkpoint()
                    await send(letter)
        """
        from broadcasters.working import Work

        outlets = self._work_outlets()
        return Work(outlets, plan_id, self._next_id(), name=name, lease=lease, obeys=obeys, take_over=take_over)

    def _asking(self) -> OpenQuestions:
        if self._questions is None:
            from broadcasters.asking import OpenQuestions  # imports the fold, too

            self._questions = OpenQuestions(
                self._send_keyed, self.reading, self.following, self._next_id, self._deadline
            )
        return self._questions

    def _work_outlets(self) -> WorkOutlets:
        from broadcasters.working import WorkOutlets

        return WorkOutlets(self._send_keyed, self.following, self._asking())

    def checkpoint_soon(self, plan_id: str) -> None:
        """Take a checkpoint of the plan in the background, for a client whose append made it due and that can't."""
        if self._checkpoints is None:
            from broadcasters.checkpointing import DueCheckpoints  # imports the fold, which few programs need

            self._checkpoints = DueCheckpoints(self._log)
        self._checkpoints.add(plan_id)

    @asynccontextmanager
    async def reading(self) -> AsyncGenerator[PlanLog]:
        """Give the log, open, for reading. `hold` waits until the block is left.

        Example:
            async with broadcaster.reading() as log:
                head = await log.head("plan-1")
        """
        log = await self._log.enter()
        try:
            yield log
        finally:
            self._log.leave()

    @asynccontextmanager
    async def following(self) -> AsyncGenerator[PlanLog]:
        """As `reading`, for a reader that stays: `hold` ends the block, with `LogUnavailable`."""
        async with self._log.staying() as log:
            yield log

    def statistics(self) -> OutboxStatistics:
        """Return the state of the outbox, and its counters."""
        return self._outbox.statistics()

    async def hold(self) -> None:
        """Close the log and send nothing until `resume`; events sent meanwhile wait. Call it before a fork."""
        await self._log.hold()

    def resume(self) -> None:
        """End `hold`."""
        self._log.resume()

    async def _send_keyed(self, event: PlanEvent, key: str | None) -> Position:
        return await self.send(event, key=key)

    def _next_id(self) -> str:
        self._ids += 1
        return f"{self._outbox.producer}.{self._ids}"

    def _entry(self, event: object, key: str | None) -> Entry:
        if not isinstance(event, PlanEvent):
            raise InvalidEvent("event", f"expected a class of broadcasters.events; got a {type(event).__name__}")
        if key is not None:
            _check_key(key)
        if self._questions is not None and isinstance(event, PlanUpdate):
            self._questions.sending(event)
        return Entry(event.payload(self._next_id(), current_traceparent()), key)

    def _post(self, event: PlanEvent) -> asyncio.Future[Position]:
        return self._outbox.post(event, self._entry(event, None))

    def _appended(self, plan_id: str, answer: Appended) -> None:
        if answer.checkpoint_due:
            self.checkpoint_soon(plan_id)


def _new_producer() -> str:
    """A name of 77 random bits, so that no two broadcasters have the same."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(13))


def _checked_producer(producer: str) -> str:
    if not 0 < len(producer) <= MAX_PRODUCER or not producer.isprintable() or set(producer) & set('"\\'):
        raise ValueError(
            f"a producer's name has 1 to {MAX_PRODUCER} printable characters other than \" and \\; got {producer!r:.60}"
        )
    return producer


def _check_key(key: object) -> None:
    if not isinstance(key, str) or not 0 < len(key) <= MAX_KEY or not key.isprintable():
        raise InvalidEvent("key", f"expected 1 to {MAX_KEY} printable characters; got {key!r:.60}")


_outboxes: WeakSet[Outbox] = WeakSet()


def _in_child() -> None:
    """Rename the outboxes of a forked child: by its parent's name, the log would take its appends for repeated ones."""
    for outbox in _outboxes:
        outbox.producer = _new_producer()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
