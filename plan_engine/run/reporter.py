"""Sends a run's events to the plan's log: in order, each once, and only while this worker owns the run."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final, Protocol, TypeVar

from broadcasters.broadcaster import Broadcaster
from broadcasters.errors import BroadcasterClosed, LogFull, LogUnavailable
from broadcasters.events import PlanEvent
from broadcasters.position import Position
from broadcasters.supervision import pauses
from plan_engine.errors import Cancelled
from plan_engine.run.run_events import KeyedEvent

__all__ = ["Ownership", "Reporter", "retry_on", "send_all"]

logger: Final = logging.getLogger(__name__)

T = TypeVar("T")

LONGEST_PAUSE_S: Final = 2.0


class Ownership(Protocol):
    """A worker's claim on one run, backed by its lease."""

    @property
    def held(self) -> bool:
        """Whether it is certain at this moment that no other worker has taken the run over."""
        ...

    async def regained(self) -> bool:
        """Wait until `held` is true again; False when another worker has taken the run over."""
        ...


async def send_all(broadcaster: Broadcaster, events: Iterable[KeyedEvent]) -> None:
    """Append these events in order, in as few appends as possible; retries until the log accepts them."""
    batch = list(events)
    await _retry_append(lambda: _send_batch(broadcaster, batch))


async def _send_batch(broadcaster: Broadcaster, batch: Sequence[KeyedEvent]) -> None:
    await asyncio.gather(*(broadcaster.send(event, key=key) for event, key in batch))


async def retry_on(errors: tuple[type[Exception], ...], call: Callable[[], Awaitable[T]], warning: str) -> T:
    """Retry a call while it raises one of `errors`, with growing pauses. The first error is logged with this warning."""
    warned = False
    for pause in pauses(LONGEST_PAUSE_S):
        try:
            return await call()
        except errors as error:
            if not warned:
                logger.warning("%s: %s", warning, error)
            warned = True
        await asyncio.sleep(pause)
    raise AssertionError("pauses() is infinite")


async def _retry_append(append: Callable[[], Awaitable[T]]) -> T:
    """Retry while the log is full, or stays unavailable beyond the broadcaster's own deadline."""
    return await retry_on((LogFull, LogUnavailable), append, "a plan waits until its log accepts events again")


class Reporter:
    """Sends the events of one run. Waits for as long as the log is unavailable or full; the run stands still meanwhile."""

    def __init__(self, broadcaster: Broadcaster, ownership: Ownership, plan_id: str) -> None:
        self.plan_id = plan_id
        self._broadcaster = broadcaster
        self._ownership = ownership
        self.silenced = False
        """Set for good once another worker owns the run, or this one has given it up."""

    async def send(self, event: PlanEvent, key: str) -> Position:
        """Append an event unless its key was appended before.

        Returns:
            The event's position.

        Raises:
            Cancelled: this worker doesn't own the run any more, or has stopped.
        """

        async def once() -> Position:
            await self._check_ownership()
            return await self._broadcaster.send(event, key=key)

        return await self._while_open(once)

    async def send_all(self, events: Iterable[KeyedEvent]) -> None:
        """Append several events in this order. Raises as `send`."""
        batch = list(events)

        async def once() -> None:
            await self._check_ownership()
            await _send_batch(self._broadcaster, batch)

        await self._while_open(once)

    async def _while_open(self, send: Callable[[], Awaitable[T]]) -> T:
        try:
            return await _retry_append(send)
        except BroadcasterClosed:  # not a failure of the step: another worker continues it
            raise Cancelled(f"this worker has stopped; another one will continue plan {self.plan_id}") from None

    async def _check_ownership(self) -> None:
        if not self._ownership.held and not self.silenced and not await self._ownership.regained():
            self.silenced = True
        if self.silenced:
            raise Cancelled(f"another worker has taken over plan {self.plan_id}")
