"""The events on their way to one plan: those queued, those of the append under way, and what is known of each."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass

from broadcasters.errors import LogError, LogUnavailable
from broadcasters.events import PlanEvent
from broadcasters.log.contract import MAX_APPEND_BYTES, MAX_APPEND_EVENTS, Entry
from broadcasters.position import Position
from broadcasters.supervision import fail_future

__all__ = ["PlanQueue", "QueuedEvent", "outcome_of"]


@dataclass(slots=True, eq=False)
class QueuedEvent:
    """An event on its way. Events with the same `run` fit into one append, and go out in one."""

    event: PlanEvent
    entry: Entry
    future: asyncio.Future[Position]
    since: float
    run: object

    def fail(self, error: Exception) -> None:
        fail_future(self.future, error)


class PlanQueue:
    """The events on their way to one plan: those queued, and those of the append under way."""

    def __init__(self, plan_id: str) -> None:
        self.plan_id = plan_id
        self.events: OrderedDict[QueuedEvent, None] = OrderedDict()
        self.under_way: list[QueuedEvent] = []
        self.sent = False  # the log was given the append under way
        self.doubtful = False  # a try of it was not answered, so that its events may be stored
        self.problem: Exception | None = None  # why it was not answered
        self.task: asyncio.Task[None] | None = None
        self._abandoned: asyncio.Event | None = None

    def take(self) -> bool:
        """Move the events that fit into one append from the queue to `under_way`; False when there is none."""
        events, batch, size = self.events, self.under_way, 0
        while events and len(batch) < MAX_APPEND_EVENTS:
            queued = next(iter(events))
            size += len(queued.entry.payload)
            if size > MAX_APPEND_BYTES and batch:
                break
            del events[queued]
            batch.append(queued)
        self._keep_runs_whole()
        self.sent, self.doubtful, self.problem = False, False, None
        return bool(batch)

    def _keep_runs_whole(self) -> None:
        """Put the first events of a run back if its last ones did not fit."""
        batch, following = self.under_way, next(iter(self.events), None)
        if following is None or following.run is None or batch[0].run is following.run:
            return
        while batch[-1].run is following.run:
            self.events[queued := batch.pop()] = None
            self.events.move_to_end(queued, last=False)

    async def rest(self, seconds: float) -> None:
        """Wait until the next try, or until no sender waits for the append any more."""
        self._abandoned = asyncio.Event()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._abandoned.wait(), seconds)

    def check_awaited(self) -> None:
        """End `rest` if no sender waits for the append under way any more."""
        if self._abandoned and not self.awaited():
            self._abandoned.set()

    def awaited(self) -> bool:
        return any(not queued.future.done() for queued in self.under_way)

    def outcome(self, queued: QueuedEvent) -> str:
        return outcome_of(self.sent and queued not in self.events, queued.entry)

    def too_late(self, queued: QueuedEvent, deadline: float) -> LogUnavailable:
        why = f" ({self.problem})" if self.problem else ""
        return LogUnavailable(f"the log did not answer within {deadline:g} s{why}; {self.outcome(queued)}")

    def refusal(self, queued: QueuedEvent, error: Exception) -> Exception:
        """The log's refusal. After a try that was not answered, the event may be stored all the same."""
        if not isinstance(error, LogError):
            return error
        if self.doubtful:
            own: LogError = LogUnavailable(f"{error}; but an earlier try was not answered: {self.outcome(queued)}")
        else:
            own = type(error)(*error.args)  # one for each sender: a raised exception has a traceback of its own
        own.__cause__ = error
        return own


def outcome_of(sent: bool, entry: Entry | None = None) -> str:
    """What is known of an event that was not acknowledged, and what its sender can do."""
    if not sent:
        return "this event was not sent, and can be sent again"
    if entry and entry.key is not None:
        return "whether this event was stored is unknown: send it again with the same key, and it is stored once"
    return "whether this event was stored is unknown: sent again it may be stored twice (a key prevents that)"
