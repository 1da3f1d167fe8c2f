"""What is on its way to one plan."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from contextlib import suppress

from broadcasters.errors import LogError, LogUnavailable
from broadcasters.events import PlanEvent
from broadcasters.log.contract import MAX_APPEND_BYTES, MAX_APPEND_EVENTS, Entry
from broadcasters.position import Position

__all__ = ["Item", "Lane", "fate"]


class Item:
    """An event on its way. What has the same `run` was said as one, fits into one append, and goes out in one."""

    __slots__ = ("entry", "event", "future", "run", "since")

    def __init__(
        self,
        event: PlanEvent,
        entry: Entry,
        future: asyncio.Future[Position],
        since: float,
        run: object = None,
    ) -> None:
        self.event = event
        self.entry = entry
        self.future = future
        self.since = since
        self.run = run

    def fail(self, error: Exception) -> None:
        if not self.future.done():
            self.future.set_exception(error)
            self.future.exception()  # whoever waits gets it; if nobody does, that is nobody's mistake


class Lane:
    """What is on its way to one plan, as long as anything is."""

    __slots__ = ("_deserted", "doubtful", "plan_id", "problem", "queue", "sent", "task", "under_way")

    def __init__(self, plan_id: str) -> None:
        self.plan_id = plan_id
        self.queue: OrderedDict[Item, None] = OrderedDict()
        self.under_way: list[Item] = []
        self.sent = False  # has the log been handed what is under way?
        self.doubtful = False  # has a try of it gone unanswered, so that it may be there already?
        self.problem: Exception | None = None  # why it was not answered
        self.task: asyncio.Task[None] | None = None
        self._deserted: asyncio.Event | None = None

    def take(self) -> bool:
        """Move what fits into one append from the queue to `under_way`; False when there is nothing."""
        queue, batch, size = self.queue, self.under_way, 0
        while queue and len(batch) < MAX_APPEND_EVENTS:
            item = next(iter(queue))
            size += len(item.entry.payload)
            if size > MAX_APPEND_BYTES and batch:
                break
            del queue[item]
            batch.append(item)
        self._keep_runs_whole()
        self.sent, self.doubtful, self.problem = False, False, None
        return bool(batch)

    def _keep_runs_whole(self) -> None:
        """Put the beginning of a run back whose end did not fit in."""
        batch, following = self.under_way, next(iter(self.queue), None)
        if following is None or following.run is None or batch[0].run is following.run:
            return
        while batch[-1].run is following.run:
            self.queue[item := batch.pop()] = None
            self.queue.move_to_end(item, last=False)

    async def rest(self, seconds: float) -> None:
        """Until the next try, or until nobody waits for it any more."""
        self._deserted = asyncio.Event()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._deserted.wait(), seconds)

    def left(self) -> None:
        """Somebody stopped waiting for what is under way."""
        if self._deserted and not self.awaited():
            self._deserted.set()

    def awaited(self) -> bool:
        """Does anybody still wait for what is under way?"""
        return any(not item.future.done() for item in self.under_way)

    # ---- what its sender is told of an event that was not acknowledged

    def fate(self, item: Item) -> str:
        return fate(self.sent and item not in self.queue, item.entry)

    def too_late(self, item: Item, deadline: float) -> LogUnavailable:
        why = f" ({self.problem})" if self.problem else ""
        return LogUnavailable(f"the log did not answer within {deadline:g} s{why}; {self.fate(item)}")

    def refusal(self, item: Item, error: Exception) -> Exception:
        """The log said no. After a try that was not answered, even that leaves open what became of the event."""
        if not isinstance(error, LogError):
            return error
        if self.doubtful:
            told: LogError = LogUnavailable(f"{error}; but an earlier try got no answer: {self.fate(item)}")
        else:
            told = type(error)(*error.args)  # one for each sender: a raised exception remembers where
        told.__cause__ = error
        return told


def fate(sent: bool, entry: Entry | None = None) -> str:
    """What is known of an event that was not acknowledged, and what its sender may do."""
    if not sent:
        return "this event was not sent, and may be said again"
    if entry and entry.key is not None:
        return "whether this event was stored is unknown: say it again with the same key, and it is there once"
    return "whether this event was stored is unknown: said again it may be there twice (give it a key to prevent that)"
