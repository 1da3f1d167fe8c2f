"""The outbox: what was said and is not yet in the log.

Ordered per plan. What is queued for a plan in one turn of the event loop goes out as one append; a plan has one append
under way at a time, different plans go side by side. While the log is away an append is repeated, as contract L3
allows: just that one, under its first sequence number, until nobody waits for it any more. Each event has a deadline;
then its sender is told what is known, and what was said later goes on.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice, takewhile
from typing import Final

from broadcasters.errors import BroadcasterClosed, LogMisconfigured, LogUnavailable, OutboxFull
from broadcasters.events import MAX_EVENT_BYTES, PlanEvent
from broadcasters.lazy_log import LazyLog
from broadcasters.log.contract import MAX_APPEND_BYTES, MAX_APPEND_EVENTS, Appended, Entry, Facts, facts_of
from broadcasters.plan_queue import Item, Lane, fate
from broadcasters.position import Position
from broadcasters.supervision import pauses

__all__ = ["MAX_BYTES", "MAX_EVENTS", "Outbox", "OutboxStatistics", "runs"]

MAX_EVENTS: Final = 16_384
MAX_BYTES: Final = 32 * 1024 * 1024
GRAIN: Final = 0.1
"""Deadlines that pass within this many seconds are looked after together."""
TICK: Final = 0.001
"""Timers may ring this much early."""


def runs(batch: Iterable[tuple[PlanEvent, Entry]]) -> Iterator[list[tuple[PlanEvent, Entry]]]:
    """Cut into what fits into one append each."""
    run: list[tuple[PlanEvent, Entry]] = []
    size = 0
    for event, entry in batch:
        size += len(entry.payload)
        if run and (size > MAX_APPEND_BYTES or len(run) == MAX_APPEND_EVENTS):
            yield run
            run, size = [], len(entry.payload)
        run.append((event, entry))
    if run:
        yield run


@dataclass(frozen=True, slots=True)
class OutboxStatistics:
    """How the outbox stands, and what it has done so far."""

    queued_events: int
    """Taken in and not yet settled, those under way included."""
    queued_bytes: int
    events_under_way: int
    """In appends that were sent and not answered."""
    waiting_senders: int
    """Senders whose event found no room yet."""
    longest_wait: float
    """How long, in seconds, the oldest unsettled event has been waiting."""
    appends: int
    """Appends that the log answered."""
    appended: int
    """Events in them."""
    retries: int
    given_up: int
    """Events whose deadline passed."""


class Outbox:
    """Takes events in, brings them to the log, and tells each sender. Belongs to one event loop.

    `appended` is called with each answer of the log. Call `close` when done. `producer` may be changed before the
    first event.
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
        self._lanes: dict[str, Lane] = {}
        self._waiting: OrderedDict[Item, None] = OrderedDict()
        self._sweeper: asyncio.TimerHandle | None = None
        self._closed = False
        self._seq = 1
        self._events = self._bytes = 0
        self._appends = self._appended_events = self._retries = self._given_up = 0

    # ---- taking in

    def post(self, event: PlanEvent, entry: Entry) -> Item:
        """Take an event in; its `future` gets the position. Nothing awaits in between: posts keep their order."""
        return self._take_in([(event, entry)], None)[0]

    async def deliver(self, event: PlanEvent, entry: Entry) -> Position:
        """Take an event in and wait for its position. Cancelled, it withdraws what was not sent yet."""
        item = self.post(event, entry)
        try:
            return await item.future
        except asyncio.CancelledError:
            self._withdraw(item)
            raise

    async def deliver_all(self, batch: Iterable[tuple[PlanEvent, Entry]]) -> list[Position]:
        """As `deliver`, for several in this order. When one fails, its error is raised once all are settled.

        What fits into one append (`runs`) goes out in one."""
        items = [item for run in runs(batch) for item in self._take_in(run, object())]
        try:
            await asyncio.gather(*(item.future for item in items), return_exceptions=True)
        except asyncio.CancelledError:
            for item in items:
                self._withdraw(item)
            raise
        return [item.future.result() for item in items]

    def _take_in(self, run: list[tuple[PlanEvent, Entry]], mark: object) -> list[Item]:
        """A run waits as a whole, or passes the bound by what is left of it: one append at most."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop or self._closed:
            self._check(loop)
        now = loop.time()
        items = [Item(event, entry, loop.create_future(), now, mark) for event, entry in run]
        if self._waiting or not self._has_room(items[0]):
            self._waiting.update(dict.fromkeys(items))
        else:
            for item in items:
                self._enqueue(item)
        if self._sweeper is None:
            self._sweeper = loop.call_at(now + self._deadline, self._sweep)
        return items

    def _check(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._closed:
            raise BroadcasterClosed("this broadcaster is closed; say it through one that is open")
        if self._loop is not None and self._loop is not loop:
            raise RuntimeError(
                "a broadcaster belongs to the event loop it was first used in; make one for each, "
                "or use broadcasters.blocking, which works from any thread"
            )
        self._loop = loop

    def _has_room(self, item: Item) -> bool:
        return self._events < self._max_events and self._bytes + len(item.entry.payload) <= self._max_bytes

    def _enqueue(self, item: Item) -> None:
        self._events += 1
        self._bytes += len(item.entry.payload)
        lane = self._lanes.get(item.event.plan_id) or self._begin(item.event.plan_id)
        lane.queue[item] = None

    def _begin(self, plan_id: str) -> Lane:
        lane = self._lanes[plan_id] = Lane(plan_id)
        lane.task = asyncio.create_task(self._serve(lane), name=f"outbox of {plan_id}")
        lane.task.add_done_callback(lambda _: self._served(lane))
        return lane

    def _withdraw(self, item: Item) -> None:
        """Its sender was cancelled. What is under way can't be called back."""
        if item in self._waiting:
            del self._waiting[item]
        elif lane := self._lanes.get(item.event.plan_id):
            if item in lane.queue:
                del lane.queue[item]
                self._make_room([item])
            else:
                lane.left()

    def _make_room(self, gone: Iterable[Item]) -> None:
        for item in gone:
            self._events -= 1
            self._bytes -= len(item.entry.payload)
        while self._waiting and self._has_room(first := next(iter(self._waiting))):
            run = [first] if first.run is None else [*takewhile(lambda item: item.run is first.run, self._waiting)]
            for item in run:
                del self._waiting[item]
                self._enqueue(item)

    # ---- bringing to the log

    async def _serve(self, lane: Lane) -> None:
        while lane.take():
            await self._bring(lane)
            self._make_room(lane.under_way)
            lane.under_way.clear()
            await asyncio.sleep(0)  # whoever was answered just now may say the next thing: it goes out with the rest
        del self._lanes[lane.plan_id]

    def _served(self, lane: Lane) -> None:
        """Its task has ended: as it should, or cut short, maybe before its first step. What was not sent goes on in
        another, unless this is the end."""
        if self._lanes.get(lane.plan_id) is not lane:
            return
        del self._lanes[lane.plan_id]
        left = [*lane.under_way]
        if self._closed:
            left += lane.queue
        elif lane.queue:
            self._begin(lane.plan_id).queue.update(lane.queue)
        for item in left:
            item.fail(BroadcasterClosed(f"the broadcaster was stopped; {lane.fate(item)}"))
        self._make_room(left)

    async def _bring(self, lane: Lane) -> None:
        """Append what is under way, trying again until it is answered or nobody waits for it any more."""
        seq, self._seq = self._seq, self._seq + len(lane.under_way)
        entries = [item.entry for item in lane.under_way]
        facts = facts_of([item.event for item in lane.under_way])
        if await self._try(lane, seq, entries, facts):
            return
        for pause in pauses(self._deadline / 10):
            await lane.rest(pause)
            if not lane.awaited():
                return
            self._retries += 1
            if await self._try(lane, seq, entries, facts):
                return

    async def _try(self, lane: Lane, seq: int, entries: list[Entry], facts: Facts) -> bool:
        """Append it. False when there was no answer, so that it is to be tried again."""
        try:
            log = await self._log.enter()
            try:
                lane.sent = True
                answer = await log.append(lane.plan_id, self.producer, seq, entries, facts)
            finally:
                self._log.leave()
            self._settle(lane, answer)
        except LogUnavailable as error:
            lane.problem, lane.doubtful = error, lane.sent
            return False
        except Exception as error:
            for item in lane.under_way:
                item.fail(lane.refusal(item, error))
        return True

    def _settle(self, lane: Lane, answer: Appended) -> None:
        for item, offset in zip(lane.under_way, answer.offsets, strict=True):
            if not offset:  # taken for a repetition, and one of long ago; ours are never that
                name = f"another broadcaster has spoken under this one's name, {self.producer!r}"
                item.fail(LogMisconfigured(f"{name}: this event was not stored; give each a name of its own, or none"))
            elif not item.future.done():
                item.future.set_result(Position(answer.epoch, offset))
        self._appends += 1
        self._appended_events += len(lane.under_way)
        self._appended(lane.plan_id, answer)

    # ---- deadlines

    def _sweep(self) -> None:
        """Tell every sender whose time is up, and ring again when the next one's is."""
        loop = asyncio.get_running_loop()
        horizon = loop.time() - self._deadline + TICK
        while self._waiting and (item := next(iter(self._waiting))).since <= horizon:
            del self._waiting[item]
            why = f"no room came free in the outbox within {self._deadline:g} s"
            self._give_up(item, OutboxFull(f"{why}; {fate(False)}"))
        for lane in list(self._lanes.values()):
            self._sweep_lane(lane, horizon)
        since = min(self._unsettled(), default=None)
        soon = loop.time() + min(GRAIN, self._deadline / 20)
        self._sweeper = None if since is None else loop.call_at(max(since + self._deadline, soon), self._sweep)

    def _sweep_lane(self, lane: Lane, horizon: float) -> None:
        for item in lane.under_way:
            if item.since <= horizon and not item.future.done():
                self._give_up(item, lane.too_late(item, self._deadline))
        lane.left()
        while lane.queue and (item := next(iter(lane.queue))).since <= horizon:
            self._give_up(item, lane.too_late(item, self._deadline))
            del lane.queue[item]
            self._make_room([item])

    def _give_up(self, item: Item, error: Exception) -> None:
        item.fail(error)
        self._given_up += 1

    def _unsettled(self) -> Iterator[float]:
        """Since when the oldest of each kind has been waiting."""
        yield from (item.since for item in islice(self._waiting, 1))
        for lane in self._lanes.values():
            yield from (item.since for item in lane.under_way if not item.future.done())
            yield from (item.since for item in islice(lane.queue, 1))

    # ---- for operators, and the end

    def statistics(self) -> OutboxStatistics:
        """How it stands. Cheap, but not free: it looks at every plan that has something on its way."""
        since = min(self._unsettled(), default=None)
        return OutboxStatistics(
            queued_events=self._events,
            queued_bytes=self._bytes,
            events_under_way=sum(len(lane.under_way) for lane in self._lanes.values()),
            waiting_senders=len(self._waiting),
            longest_wait=0.0 if since is None or self._loop is None else self._loop.time() - since,
            appends=self._appends,
            appended=self._appended_events,
            retries=self._retries,
            given_up=self._given_up,
        )

    async def close(self) -> None:
        """Take nothing more in, and bring what is here to the log, as far as its deadlines allow."""
        self._closed = True
        try:
            async with asyncio.timeout(self._deadline):
                while tasks := self._tasks():
                    await asyncio.wait(tasks)
        except TimeoutError:
            pass
        finally:
            await self._stop()

    async def _stop(self) -> None:
        if self._sweeper:
            self._sweeper.cancel()
        for item in self._waiting:
            item.fail(BroadcasterClosed(f"the broadcaster was closed; {fate(False)}"))
        self._waiting.clear()
        for task in (tasks := self._tasks()):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _tasks(self) -> list[asyncio.Task[None]]:
        return [lane.task for lane in self._lanes.values() if lane.task and not lane.task.done()]
