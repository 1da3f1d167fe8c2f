"""What agents hold: a `Broadcaster` says things about plans; returning means durable in the log."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import string
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final, Self
from weakref import WeakSet

from broadcasters.errors import InvalidEvent, LogUnavailable
from broadcasters.events import MessageType, PlanEvent, check_plan_id
from broadcasters.lazy_log import LazyLog
from broadcasters.log import log_of
from broadcasters.log.contract import MAX_APPEND_BYTES, MAX_APPEND_EVENTS, Appended, Entry, PlanLog
from broadcasters.outbox import MAX_BYTES, MAX_EVENTS, Outbox, OutboxStatistics, runs
from broadcasters.plan_queue import Item
from broadcasters.position import Position
from broadcasters.streamed_message import Message
from broadcasters.supervision import pauses
from broadcasters.tracing import current_traceparent
from broadcasters.verbs import Verbs

if TYPE_CHECKING:
    from redis.asyncio import Redis, RedisCluster

__all__ = ["Broadcaster"]

MAX_KEY: Final = 256
MAX_PRODUCER: Final = 128
CHECKPOINT_REST: Final = 1.0
"""Seconds of rest after a checkpoint failed: the next append asks for it again."""
CHECKPOINT_PATIENCE: Final = 2.0
"""Seconds that closing waits for checkpoints."""

_logger = logging.getLogger("broadcasters")
_ALPHABET: Final = string.digits + string.ascii_letters


def _new_producer() -> str:
    """77 bits: no two broadcasters ever have the same."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(13))


def _checked(producer: str) -> str:
    if not 0 < len(producer) <= MAX_PRODUCER or not producer.isprintable() or set(producer) & set('"\\'):
        raise ValueError(
            f"1 to {MAX_PRODUCER} printable characters, but no \" and no \\, make a producer's name, not {producer!r:.60}"
        )
    return producer


def _check_key(key: object) -> None:
    if not isinstance(key, str) or not 0 < len(key) <= MAX_KEY or not key.isprintable():
        raise InvalidEvent("key", f"1 to {MAX_KEY} printable characters make a key, not {key!r:.60}")


class Broadcaster(Verbs):
    """Says things about plans. Used as `async with Broadcaster(url) as b:`, or opened and closed by hand.

    It belongs to one event loop. `url` names the log, or is a client of `redis.asyncio` (see `log_of`; without one:
    PLANCAST_LOG, or the embedded default); a `log` may be handed in instead, and then its owner opens and closes it.
    `deadline`: for how many seconds an event is tried before its sender gets `LogUnavailable`. `max_events` and
    `max_bytes` bound what waits for the log; past them senders wait, and get `OutboxFull` at their deadline. `producer`,
    if given, must be a name never used before: by it and its own counting, the log recognises a repeated append. (A
    forked child gets another.)
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
            raise ValueError("a broadcaster gets a url or a log, not both")
        self._log = LazyLog(log, lambda: log_of(url))
        self._deadline = deadline
        self._said = 0
        self._checkpoints = _Checkpoints(self._log)
        self._outbox = Outbox(
            self._log,
            _checked(producer) if producer is not None else _new_producer(),
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
        """Open the log, trying until the deadline. Need not be called: the first event opens it too."""
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
        """Bring what was said to the log, as far as deadlines allow, and let go of it. Closing twice is harmless."""
        try:
            await self._outbox.close()
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
                raise InvalidEvent("plan_id", f"all events are to be of {plan_id!r}, and one is of {event.plan_id!r}")
        if whole and len([*runs(batch)]) > 1:
            most = f"{MAX_APPEND_EVENTS} events of {MAX_APPEND_BYTES:,} bytes as they are stored"
            raise InvalidEvent("events", f"as one, at most {most} can be sent")
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
        """A message said in pieces: `async with b.message(plan_id, agent_name) as m: await m.write("…")`."""
        fields = {
            "plan_id": plan_id,
            "agent_name": agent_name,
            "message_type": message_type,
            "step_id": step_id,
            "message_id": message_id if message_id is not None else self._next_id(),
        }
        return Message(fields, self._post)

    def checkpoint_soon(self, plan_id: str) -> None:
        """A checkpoint of this plan is due, and whoever was told so can't take it."""
        self._checkpoints.due(plan_id)

    @asynccontextmanager
    async def reading(self) -> AsyncGenerator[PlanLog]:
        """The log it speaks to, to read in: `async with b.reading() as log`. `hold` waits until the block is left."""
        log = await self._log.enter()
        try:
            yield log
        finally:
            self._log.leave()

    def statistics(self) -> OutboxStatistics:
        """How the outbox stands, and what it has done so far."""
        return self._outbox.statistics()

    async def hold(self) -> None:
        """Let go of the log, and send nothing, until `resume`: what is said meanwhile waits. (For who is to fork.)"""
        await self._log.hold()

    def resume(self) -> None:
        self._log.resume()

    def _next_id(self) -> str:
        self._said += 1
        return f"{self._outbox.producer}.{self._said}"

    def _entry(self, event: object, key: str | None) -> Entry:
        if not isinstance(event, PlanEvent):
            raise InvalidEvent("event", f"an event is built with broadcasters.events, a {type(event).__name__} is none")
        if key is not None:
            _check_key(key)
        return Entry(event.payload(self._next_id(), current_traceparent()), key)

    def _post(self, event: PlanEvent) -> Item:
        return self._outbox.post(event, self._entry(event, None))

    def _appended(self, plan_id: str, answer: Appended) -> None:
        if answer.checkpoint_due:
            self._checkpoints.due(plan_id)


class _Checkpoints:
    """Takes the checkpoints that fall due, one after the other, in a task of its own. Nobody waits for them.

    Folding costs processor time, so it rests in between: it takes a fifth of the process at most.
    """

    def __init__(self, log: LazyLog) -> None:
        self._log = log
        self._due: dict[str, None] = {}
        self._closing = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def due(self, plan_id: str) -> None:
        self._due[plan_id] = None
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._take_all(), name="checkpoints")

    async def close(self) -> None:
        """Give what is due a moment more."""
        self._closing.set()
        if self._task:
            await asyncio.wait([self._task], timeout=CHECKPOINT_PATIENCE)
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _take_all(self) -> None:
        loop = asyncio.get_running_loop()
        while self._due:
            plan_id = next(iter(self._due))
            rest, began = 0.0, loop.time()
            try:
                await self._take(plan_id)
            except Exception as error:
                _logger.warning("no checkpoint of plan %s (%s); a later append asks for it again", plan_id, error)
                rest = CHECKPOINT_REST
            del self._due[plan_id]
            rest += 4 * (loop.time() - began)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), rest)

    async def _take(self, plan_id: str) -> None:
        from broadcasters.checkpointing import take_checkpoint  # only those who come to need it pay for folding

        log = await self._log.enter()
        try:
            await take_checkpoint(log, plan_id)
        finally:
            self._log.leave()


_outboxes: WeakSet[Outbox] = WeakSet()


def _in_child() -> None:
    """By its parent's name and counting, the log would take a forked child for its parent repeating itself."""
    for outbox in _outboxes:
        outbox.producer = _new_producer()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
