"""Fan-out of one plan on one hub node: its tail, its newest encoded frames, its subscribers.

One mechanism serves joining, resuming, lagging and repair: a subscriber *has a position*. At the head it is live and
gets every burst; otherwise it is behind and is pumped from the ring, or from the log when the ring no longer holds what
it needs, until it is at the head.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from broadcasters.errors import PlancastError, SnapshotUnreadable
from broadcasters.log.contract import Head, PlanLog
from broadcasters.position import Lineage, Position
from hub.config.limits import ChannelLimits
from hub.core.burst import Burst, RecentFrames
from hub.core.composer import Composed, compose
from hub.core.counts import HubCounts
from hub.core.history import ChannelReader
from hub.core.subscriber import Client, Since, Standing, Subscriber
from hub.core.tail import ChannelTail, LogRetry
from hub.core.whole_messages import WholeMessages
from hub.wire.codes import SubscriptionCode

__all__ = ["Channel", "Traced"]

log = logging.getLogger(__name__)

RETRY_AFTER_MS: Final = 2000
INTERNAL_ERROR: Final = "something in the hub failed; try again"

Traced = Callable[[str, Burst, int], None]
"""Called with plan id, burst and number of subscribers after each burst, when tracing is set up."""


class Channel:
    """A plan's fan-out. Every method but the coroutines returns within one turn of the event loop and never blocks."""

    def __init__(
        self,
        plan_id: str,
        plan_log: PlanLog,
        limits: ChannelLimits,
        counts: HubCounts,
        compare_soon: Callable[[], None],
        failed: Callable[[Channel], None],
        traced: Traced | None = None,
        worked: Callable[[str, Sequence[bytes]], None] | None = None,
    ) -> None:
        self.plan_id = plan_id
        self.subscribers: set[Subscriber] = set()
        self._limits = limits
        self._counts, self._failed = counts, failed
        self._traced, self._worked = traced, worked
        retry = LogRetry(plan_id, counts)
        self._tail = ChannelTail(plan_id, plan_log, self, counts, retry, compare_soon, limits.ring_bytes)
        self._reader = ChannelReader(plan_id, plan_log, self._tail, retry, limits.burst_bytes * 2)
        self._recent = RecentFrames(plan_id, limits)
        self._live: dict[Subscriber, Callable[[Burst], None]] = {}
        self._whole = WholeMessages(limits)

    @property
    def open(self) -> bool:
        """Whether the tail is open, so that subscribers can be placed."""
        return self._tail.open

    @property
    def watch_lost(self) -> bool:
        """Whether the log reports no appends until it resumes the watch."""
        return self._tail.watch_lost

    @property
    def head(self) -> int:
        """The newest offset that the channel knows."""
        return self._tail.head

    def compare(self, head: Head, known: int) -> None:
        """Compare with the log's head, requested when the channel was at `known`."""
        self._tail.compare(head, known)

    # -- the tail's side -----------------------------------------------------------------------------------------------

    def opened(self) -> None:
        self._restart()
        self._for_each(self.subscribers, self._place)

    def taken(self, payloads: Sequence[bytes]) -> None:
        if self._worked is not None:
            self._worked(self.plan_id, payloads)
        if self._recent.take(payloads):
            asyncio.get_running_loop().call_soon(self.flush)

    def epoch_began(self) -> None:
        self.flush()
        self._restart_frames()  # so that no frame of the old epoch is handed out after one of the new
        self._whole.forget()

    def broke(self, lineage: Lineage) -> None:
        """Send a snapshot to subscribers that received events the log no longer holds; the others continue."""
        positions = [(s, Position(lineage.epoch, self._offset_of(s))) for s in self.subscribers]
        self._restart()
        for subscriber, position in positions:
            if subscriber.standing is Standing.JOINING or subscriber.needs_snapshot:
                continue  # it is placed when the log has answered, or when its client takes more
            verdict = self._tail.continuity(position)
            if verdict == "ok":
                self._set_behind(subscriber, position.offset)
            else:
                self._give_snapshot(subscriber, verdict)

    def deleted(self) -> None:
        subscribers = list(self.subscribers)
        for subscriber in subscribers:
            self.leave(subscriber)
        self._restart()
        code, reason = SubscriptionCode.PLAN_DELETED, "the plan was deleted"
        self._for_each(subscribers, lambda left: left.client.ended(self.plan_id, code, reason))

    def caught_up(self) -> None:
        self._for_each(self.subscribers, self.pump)

    def failed(self) -> None:
        self._failed(self)  # first, so that a client that subscribes again at once gets a new channel
        self._for_each(self.subscribers, lambda subscriber: self._refuse(subscriber, INTERNAL_ERROR))

    def flush(self) -> None:
        """Hand out the new frames: once a loop turn, the same bytes to every live subscriber."""
        if (burst := self._recent.hand_out()) is None:
            return
        whole = self._whole.take(burst)
        self._deliver(burst, self._live)
        if whole is not None:
            self._deliver(whole, self._whole.live)
        self._counts.latency.record(burst.frames[0], time.time())
        if self._traced is not None:
            self._traced(self.plan_id, burst, len(self._live) + len(self._whole.live))

    def _deliver(self, burst: Burst, live: Mapping[Subscriber, Callable[[Burst], None]]) -> None:
        self._counts.delivered(burst, len(live))
        for subscriber, deliver in tuple(live.items()):
            try:
                deliver(burst)
            except Exception as error:
                self._give_up(subscriber, error)

    def _restart(self) -> None:
        """Continue from the tail's head, in what may be another lineage."""
        self._restart_frames()
        self._whole.lose()

    def _restart_frames(self) -> None:
        """Continue from the tail's head, without any frame from before it."""
        self._recent.restart(Position(self._tail.lineage.epoch, self._tail.head))
        self._reader.history.forget()

    # -- subscribers ---------------------------------------------------------------------------------------------------

    def join(self, client: Client, since: Since | None) -> Subscriber:
        """Add a subscriber. Call `start` in the same turn, when its client is ready for `placed`."""
        subscriber = Subscriber(client, since, self._now())
        self.subscribers.add(subscriber)
        if not subscriber.knows_positions:
            self._whole.members.add(subscriber)
        return subscriber

    def start(self, subscriber: Subscriber) -> None:
        """Place the subscriber and notify its client: now, or when the channel has opened."""
        if self.open:
            self._place(subscriber)

    def leave(self, subscriber: Subscriber) -> None:
        """Remove the subscriber. Does nothing when it left before."""
        subscriber.standing = Standing.GONE
        self.subscribers.discard(subscriber)
        self._live.pop(subscriber, None)
        self._whole.leave(subscriber)
        subscriber.void_work()

    def position_of(self, subscriber: Subscriber) -> Position | None:
        """The position after which the subscriber's next events start; None while `placed` is still to come."""
        if subscriber.standing is Standing.JOINING or subscriber.needs_snapshot:
            return None
        return Position(self._tail.lineage.epoch, self._offset_of(subscriber))

    def filled(self, subscriber: Subscriber) -> None:
        """The client can't take more: the subscriber stays behind, after the last event it was handed."""
        if subscriber.standing is Standing.LIVE:
            self._set_behind(subscriber, self._recent.handed)

    def pump(self, subscriber: Subscriber) -> None:
        """Hand the events after its position to a subscriber that is behind, as long as its client takes them."""
        while self._pumpable(subscriber):
            if subscriber.needs_snapshot:
                self._await_snapshot(subscriber)
            elif not subscriber.knows_positions:
                self._pump_whole(subscriber)
            elif subscriber.offset == self._recent.handed:
                subscriber.standing = Standing.LIVE
                self._live[subscriber] = subscriber.deliver
            elif (burst := self._recent.after(subscriber.offset)) is not None:
                self._hand(subscriber, burst)
            else:
                self._fetch(subscriber)

    def _pump_whole(self, subscriber: Subscriber) -> None:
        if self._whole.go_live(subscriber, self._recent.handed):
            subscriber.standing = Standing.LIVE
        elif (in_ring := self._whole.after(subscriber.offset)) is not None:
            burst, subscriber.reach = in_ring
            self._hand(subscriber, burst)
        else:
            self._work(subscriber, self._hand_composed(subscriber))

    def _pumpable(self, subscriber: Subscriber) -> bool:
        behind = subscriber.standing is Standing.BEHIND and subscriber.work is None
        return behind and self.open and not subscriber.client.full

    def _offset_of(self, subscriber: Subscriber) -> int:
        return self._recent.handed if subscriber.standing is Standing.LIVE else subscriber.offset

    def _hand(self, subscriber: Subscriber, burst: Burst) -> None:
        subscriber.offset = burst.last  # before the delivery, which may fill the client and so call `filled`
        self._counts.delivered(burst, 1)
        if burst.frames:
            subscriber.deliver(burst)

    def _set_behind(self, subscriber: Subscriber, offset: int) -> None:
        self._live.pop(subscriber, None)
        self._whole.stop(subscriber)
        subscriber.void_work()
        subscriber.standing = Standing.BEHIND
        subscriber.offset = offset

    def _give_snapshot(self, subscriber: Subscriber, reason: str | None) -> None:
        """Let the subscriber continue from a snapshot, as soon as its client takes one."""
        self._set_behind(subscriber, self._offset_of(subscriber))
        subscriber.needs_snapshot, subscriber.reason = True, reason
        self.pump(subscriber)

    # -- placing subscribers -------------------------------------------------------------------------------------------

    def _place(self, subscriber: Subscriber) -> None:
        """Put a joining subscriber at the position it requested, or give it a snapshot and the reason."""
        if subscriber.standing is not Standing.JOINING or subscriber.work is not None:
            return
        match subscriber.since:
            case "snapshot":
                self._give_snapshot(subscriber, None)
            case "now":
                self._place_at_head(subscriber)
            case since:
                position = since if isinstance(since, Position) else Position("", 0)
                if self._tail.continuity(position) in ("ok", "trimmed"):
                    self._place_after(subscriber, position)
                else:  # this node may not have received those events yet
                    self._work(subscriber, self._place_later(subscriber, position))

    def _place_at_head(self, subscriber: Subscriber) -> None:
        """For a subscriber that gets whole messages, those that are unfinished at the head must come whole as well."""
        self.flush()
        if subscriber.knows_positions or self.head == 0:
            self._begin_at(subscriber, self.head)
        elif self._whole.composer is not None:
            self._begin_at(subscriber, self.head, reach=self._whole.composer.reach)
        else:
            self._work(subscriber, self._place_at_fold(subscriber))

    async def _place_at_fold(self, subscriber: Subscriber) -> None:
        head, folded = self.head, None
        with suppress(TimeoutError, SnapshotUnreadable):  # then it starts at the head: old front ends don't retry
            async with asyncio.timeout(self._limits.fold_patience):
                folded = await self._reader.fold(lambda: min(head, self.head), least=head)
        subscriber.work = None
        offset, reach = (self.head, self.head) if folded is None else (folded.head.offset, folded.reach)
        self._begin_at(subscriber, offset, reach=reach)

    async def _place_later(self, subscriber: Subscriber, position: Position) -> None:
        await self._tail.catch_up()
        subscriber.work = None
        self._place_after(subscriber, position)

    def _place_after(self, subscriber: Subscriber, position: Position) -> None:
        verdict = self._tail.continuity(position)
        if verdict == "ok":
            self._begin_at(subscriber, position.offset)
        else:
            self._give_snapshot(subscriber, verdict)

    def _begin_at(
        self,
        subscriber: Subscriber,
        offset: int,
        reason: str | None = None,
        snapshot: bytes | None = None,
        reach: int | None = None,
    ) -> None:
        self.flush()
        if subscriber not in self.subscribers:
            return
        self._set_behind(subscriber, offset)
        subscriber.reach = offset if reach is None else reach
        position = Position(self._tail.lineage.epoch, offset)
        subscriber.client.placed(self.plan_id, position, self.head, reason)
        if snapshot is not None and subscriber in self.subscribers:
            subscriber.client.snapshot(snapshot)
        self.pump(subscriber)

    # -- reading from the log: a read is handed on only if it fits the lineage that the tail follows -------------------

    def _fetch(self, subscriber: Subscriber) -> None:
        behind = self._recent.handed - subscriber.offset
        if behind > self._limits.snapshot_after and subscriber.abridges:
            self._give_snapshot(subscriber, None)
        else:
            merged = behind > self._limits.merge_after and subscriber.abridges
            self._work(subscriber, self._hand_page(subscriber, merged=merged))

    async def _hand_page(self, subscriber: Subscriber, *, merged: bool) -> None:
        burst = await self._reader.page(subscriber.offset, lambda: self._recent.handed, merged=merged)
        subscriber.work = None
        if burst == "trimmed":
            self._give_snapshot(subscriber, "trimmed")
        elif isinstance(burst, Burst) and not subscriber.client.full:  # a full one is pumped again when it drains
            self._hand(subscriber, burst)
            self.pump(subscriber)

    async def _hand_composed(self, subscriber: Subscriber) -> None:
        after, reach = subscriber.offset, subscriber.reach
        composed = await self._reader.composed(after, reach, lambda: self._recent.handed)
        subscriber.work = None
        if composed == "trimmed" and (in_ring := self._recent.all_after(after)) is not None:
            composed = compose(in_ring)
        if composed == "trimmed":
            self._give_snapshot(subscriber, "trimmed")
        elif isinstance(composed, Composed) and not subscriber.client.full:
            self._whole.begin_at(composed.composer, self._recent.all_after(composed.burst.last))
            subscriber.reach = composed.reach
            self._hand(subscriber, composed.burst)
            self.pump(subscriber)

    def _await_snapshot(self, subscriber: Subscriber) -> None:
        subscriber.standing = Standing.JOINING
        subscriber.joining_since = self._now()
        self._work(subscriber, self._hand_snapshot(subscriber))

    async def _hand_snapshot(self, subscriber: Subscriber) -> None:
        folded = await self._reader.fold(lambda: self._recent.ring.first - 1)
        subscriber.work = None
        if subscriber.client.full:  # it was filled meanwhile; when it drains, the snapshot is read again
            self._set_behind(subscriber, subscriber.offset)
            return
        reason, subscriber.reason = subscriber.reason, None
        subscriber.needs_snapshot = False
        self._begin_at(subscriber, folded.head.offset, reason, folded.frame, folded.reach)

    def _work(self, subscriber: Subscriber, work: Coroutine[Any, Any, None]) -> None:
        self._reader.start(subscriber, work, self._give_up)

    # -- refusing and closing ------------------------------------------------------------------------------------------

    def refuse_waiting(self) -> None:
        """Refuse subscribers that have waited for the log longer than `join_patience`."""
        since = self._now() - self._limits.join_patience
        waiting = [s for s in self.subscribers if s.standing is Standing.JOINING and s.joining_since < since]
        self._for_each(waiting, lambda s: self._refuse(s, "the log does not answer; try again"))

    async def close(self) -> None:
        """Close the tail, and cancel every task."""
        await self._tail.close()
        await self._reader.close()

    def _refuse(self, subscriber: Subscriber, message: str) -> None:
        self.leave(subscriber)
        subscriber.client.refused(self.plan_id, message, RETRY_AFTER_MS)

    def _for_each(self, subscribers: Iterable[Subscriber], do: Callable[[Subscriber], None]) -> None:
        """Call `do` for each; an error refuses that subscriber and no other."""
        for subscriber in list(subscribers):
            try:
                do(subscriber)
            except Exception as error:
                self._give_up(subscriber, error)

    def _give_up(self, subscriber: Subscriber, error: BaseException) -> None:
        if isinstance(error, PlancastError):
            log.warning("plan %s: a subscriber can't be served and is refused: %s", self.plan_id, error)
            message = str(error)
        else:
            log.error("plan %s: a subscriber can't be served and is refused: %s", self.plan_id, error, exc_info=error)
            message = INTERNAL_ERROR
        with suppress(Exception):
            self._refuse(subscriber, message)

    def _now(self) -> float:
        return asyncio.get_running_loop().time()
