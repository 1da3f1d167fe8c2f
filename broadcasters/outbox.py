"""The outbox: events that were sent and are not yet acknowledged by the log.

Events queued for a plan in one turn of the event loop go out as one append. A plan has one append under way at a time,
and plans do not wait for each other. While the log is unavailable an append is repeated under its sequence number
(contract L3), until no sender waits for it. After its deadline, the sender of an event gets an error.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice, takewhile
from typing import Final

from broadcasters.errors import BroadcasterClosed, LogMisconfigured, LogUnavailable, OutboxFull
from broadcasters.events import MAX_EVENT_BYTES, PlanEvent
from broadcasters.log import LazyLog
from broadcasters.log.contract import Appended, Entry, Facts, facts_of, runs
from broadcasters.plan_queue import PlanQueue, QueuedEvent, outcome_of
from broadcasters.position import Position
from broadcasters.snapshot import AgentUsage, UsageSum
from broadcasters.supervision import pauses
from broadcasters.usage_fold import plus_reported

__all__ = ["MAX_BYTES", "MAX_EVENTS", "Outbox", "OutboxStatistics"]

MAX_EVENTS: Final = 16_384
MAX_BYTES: Final = 32 * 1024 * 1024
GRAIN: Final = 0.1  # deadlines that pass within this many seconds are handled together
TICK: Final = 0.001  # timers may fire this much early


@dataclass(frozen=True, slots=True)
class OutboxStatistics:
    """The state of an outbox, and its counters since it was made."""

    queued_events: int
    """Events accepted and not yet settled, those under way included."""
    queued_bytes: int
    events_under_way: int
    """Events in appends that were sent and not answered."""
    waiting_senders: int
    """Senders whose event waits for room."""
    longest_wait: float
    """Age of the oldest unsettled event, in seconds."""
    appends: int
    appended: int
    """Events in appends that the log acknowledged."""
    retries: int
    given_up: int
    """Events whose deadline passed."""
    usage: Sequence[UsageSum] = ()
    """Sums of the usage that acknowledged events report, by model; models beyond the first 32 share the sum without one. An
    event that is sent again under its key counts again."""


class Outbox:
    """Accepts events, appends them to the log, and reports the outcome to each sender. Belongs to one event loop.

    `appended` is called with each answer of the log. `producer` may be changed before the first event. `close` it.
    """

    def __init__(
        self,
        log: LazyLog,
        producer: str,
        *,
        appended: Callable[[str, Appended], None],
        deadline: float,
        max_events: int = MAX_EVENTS,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        if not deadline > 0 or max_events < 1 or max_bytes < MAX_EVENT_BYTES:
            least = f"deadline > 0, max_events >= 1 and max_bytes >= {MAX_EVENT_BYTES:,} (one event)"
            raise ValueError(f"an outbox needs {least}; got {deadline!r}, {max_events!r}, {max_bytes!r}")
        self._log, self.producer, self._appended = log, producer, appended
        self._deadline, self._max_events, self._max_bytes = deadline, max_events, max_bytes
        self._loop: asyncio.AbstractEventLoop | None = None
        self._queues: dict[str, PlanQueue] = {}
        self._waiting: OrderedDict[QueuedEvent, None] = OrderedDict()
        self._sweeper: asyncio.TimerHandle | None = None
        self._closed = False
        self._seq = 1
        self._events = self._bytes = 0
        self._appends = self._appended_events = self._retries = self._given_up = 0
        self._usage: tuple[AgentUsage, ...] = ()

    def post(self, event: PlanEvent, entry: Entry) -> asyncio.Future[Position]:
        """Accept an event, and return the future of its position. Posts keep their order."""
        return self._accept([(event, entry)], None)[0].future

    async def deliver(self, event: PlanEvent, entry: Entry) -> Position:
        """Accept an event and wait for its position. When cancelled, withdraw it unless it was sent."""
        (queued,) = self._accept([(event, entry)], None)
        try:
            return await queued.future
        except asyncio.CancelledError:
            self._withdraw(queued)
            raise

    async def deliver_all(self, batch: Iterable[tuple[PlanEvent, Entry]]) -> list[Position]:
        """As `deliver`, for several events in this order; each of `runs` goes out in one append.

        When one fails, its error is raised once all are settled."""
        batched = [queued for run in runs(batch) for queued in self._accept(run, object())]
        try:
            await asyncio.gather(*(queued.future for queued in batched), return_exceptions=True)
        except asyncio.CancelledError:
            for queued in batched:
                self._withdraw(queued)
            raise
        return [queued.future.result() for queued in batched]

    def _accept(self, run: list[tuple[PlanEvent, Entry]], mark: object) -> list[QueuedEvent]:
        """A run waits for room as a whole, or exceeds the bounds by the rest of it, which is one append at most."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop or self._closed:
            self._check(loop)
        now = loop.time()
        accepted = [QueuedEvent(event, entry, loop.create_future(), now, mark) for event, entry in run]
        if self._waiting or not self._has_room(accepted[0]):
            self._waiting.update(dict.fromkeys(accepted))
        else:
            for queued in accepted:
                self._enqueue(queued)
        if self._sweeper is None:
            self._sweeper = loop.call_at(now + self._deadline, self._sweep)
        return accepted

    def _check(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._closed:
            raise BroadcasterClosed("this broadcaster is closed; send through one that is open")
        if self._loop is not None and self._loop is not loop:
            raise RuntimeError(
                "a broadcaster belongs to the event loop it was first used in; make one for each, "
                "or use broadcasters.blocking, which works from any thread"
            )
        self._loop = loop

    def _has_room(self, queued: QueuedEvent) -> bool:
        return self._events < self._max_events and self._bytes + len(queued.entry.payload) <= self._max_bytes

    def _enqueue(self, queued: QueuedEvent) -> None:
        self._events += 1
        self._bytes += len(queued.entry.payload)
        queue = self._queues.get(queued.event.plan_id) or self._begin(queued.event.plan_id)
        queue.events[queued] = None

    def _begin(self, plan_id: str) -> PlanQueue:
        queue = self._queues[plan_id] = PlanQueue(plan_id)
        queue.task = asyncio.create_task(self._send_all(queue), name=f"outbox of {plan_id}")
        queue.task.add_done_callback(lambda _: self._ended(queue))
        return queue

    def _withdraw(self, queued: QueuedEvent) -> None:
        """Remove the event of a sender that was cancelled. An append under way can't be called back."""
        if queued in self._waiting:
            del self._waiting[queued]
        elif queue := self._queues.get(queued.event.plan_id):
            if queued in queue.events:
                del queue.events[queued]
                self._make_room([queued])
            else:
                queue.check_awaited()

    def _make_room(self, settled: Iterable[QueuedEvent]) -> None:
        for queued in settled:
            self._events -= 1
            self._bytes -= len(queued.entry.payload)
        while self._waiting and self._has_room(first := next(iter(self._waiting))):
            run = [first] if first.run is None else [*takewhile(lambda queued: queued.run is first.run, self._waiting)]
            for queued in run:
                del self._waiting[queued]
                self._enqueue(queued)

    # ---- appending

    async def _send_all(self, queue: PlanQueue) -> None:
        while queue.take():
            await self._append(queue)
            self._make_room(queue.under_way)
            queue.under_way.clear()
            await asyncio.sleep(0)  # senders answered just now may send again: those events join the next append
        del self._queues[queue.plan_id]

    def _ended(self, queue: PlanQueue) -> None:
        """A task that was cancelled, maybe before its first step, leaves its queue to another, unless all is closed."""
        if self._queues.get(queue.plan_id) is not queue:
            return
        del self._queues[queue.plan_id]
        left = [*queue.under_way, *(queue.events if self._closed else ())]
        if queue.events and not self._closed:
            self._begin(queue.plan_id).events.update(queue.events)
        for queued in left:
            queued.fail(BroadcasterClosed(f"the broadcaster was stopped; {queue.outcome(queued)}"))
        self._make_room(left)

    async def _append(self, queue: PlanQueue) -> None:
        """Append the events under way, repeating it until it is answered or no sender waits for it any more."""
        seq, self._seq = self._seq, self._seq + len(queue.under_way)
        entries = [queued.entry for queued in queue.under_way]
        facts = facts_of([queued.event for queued in queue.under_way])
        tries = pauses(self._deadline / 10)
        while not await self._try(queue, seq, entries, facts):
            await queue.rest(next(tries))
            if not queue.awaited():
                return
            self._retries += 1

    async def _try(self, queue: PlanQueue, seq: int, entries: list[Entry], facts: Facts) -> bool:
        """Append once. False when there was no answer, so that the append should be repeated."""
        try:
            log = await self._log.enter()
            try:
                queue.sent = True
                answer = await log.append(queue.plan_id, self.producer, seq, entries, facts)
            finally:
                self._log.leave()
            self._settle(queue, answer)
        except LogUnavailable as error:
            queue.problem, queue.doubtful = error, queue.sent
            return False
        except Exception as error:
            for queued in queue.under_way:
                queued.fail(queue.refusal(queued, error))
        return True

    def _settle(self, queue: PlanQueue, answer: Appended) -> None:
        for queued, offset in zip(queue.under_way, answer.offsets, strict=True):
            if not offset:  # taken for a repeated append of long ago, which this outbox never sends
                used = f"another broadcaster has used the producer name {self.producer!r}"
                queued.fail(LogMisconfigured(f"{used}: this event was not stored; use unique producer names, or none"))
                continue
            self._usage = plus_reported(self._usage, queued.event)
            if not queued.future.done():
                queued.future.set_result(Position(answer.epoch, offset))
        self._appends += 1
        self._appended_events += len(queue.under_way)
        self._appended(queue.plan_id, answer)

    # ---- deadlines

    def _sweep(self) -> None:
        """Fail every event whose deadline has passed, and schedule the sweep for the next one's."""
        loop = asyncio.get_running_loop()
        horizon = loop.time() - self._deadline + TICK
        while self._waiting and (queued := next(iter(self._waiting))).since <= horizon:
            del self._waiting[queued]
            self._give_up(
                queued, OutboxFull(f"the outbox had no room within {self._deadline:g} s; {outcome_of(False)}")
            )
        for queue in list(self._queues.values()):
            self._sweep_queue(queue, horizon)
        since = min(self._unsettled(), default=None)
        soon = loop.time() + min(GRAIN, self._deadline / 20)
        self._sweeper = None if since is None else loop.call_at(max(since + self._deadline, soon), self._sweep)

    def _sweep_queue(self, queue: PlanQueue, horizon: float) -> None:
        for queued in queue.under_way:
            if queued.since <= horizon and not queued.future.done():
                self._give_up(queued, queue.too_late(queued, self._deadline))
        queue.check_awaited()
        while queue.events and (queued := next(iter(queue.events))).since <= horizon:
            self._give_up(queued, queue.too_late(queued, self._deadline))
            del queue.events[queued]
            self._make_room([queued])

    def _give_up(self, queued: QueuedEvent, error: Exception) -> None:
        queued.fail(error)
        self._given_up += 1

    def _unsettled(self) -> Iterator[float]:
        """Since when the oldest event of each kind has been waiting."""
        yield from (queued.since for queued in islice(self._waiting, 1))
        for queue in self._queues.values():
            yield from (queued.since for queued in queue.under_way if not queued.future.done())
            yield from (queued.since for queued in islice(queue.events, 1))

    def statistics(self) -> OutboxStatistics:
        """The current state. Takes time in proportion to the plans that have events on their way."""
        since = min(self._unsettled(), default=None)
        return OutboxStatistics(
            queued_events=self._events,
            queued_bytes=self._bytes,
            events_under_way=sum(len(queue.under_way) for queue in self._queues.values()),
            waiting_senders=len(self._waiting),
            longest_wait=0.0 if since is None or self._loop is None else self._loop.time() - since,
            appends=self._appends,
            appended=self._appended_events,
            retries=self._retries,
            given_up=self._given_up,
            usage=self._usage,
        )

    async def close(self) -> None:
        """Accept no further event, and append those accepted, as far as their deadlines allow."""
        self._closed = True
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._deadline):
                    while tasks := self._tasks():
                        await asyncio.wait(tasks)
        finally:
            await self._stop()

    async def _stop(self) -> None:
        if self._sweeper:
            self._sweeper.cancel()
        for queued in self._waiting:
            queued.fail(BroadcasterClosed(f"the broadcaster was closed; {outcome_of(False)}"))
        self._waiting.clear()
        for task in (tasks := self._tasks()):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _tasks(self) -> list[asyncio.Task[None]]:
        return [queue.task for queue in self._queues.values() if queue.task and not queue.task.done()]
