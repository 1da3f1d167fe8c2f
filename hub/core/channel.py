"""One plan as one hub node sees it: its tail, its newest encoded frames, its subscribers.

One mechanism serves joining, resuming, lagging and repair: a subscriber *has a position*. At the head it is live and
is handed every burst; otherwise it is behind and is pumped from the ring, or from the log when it fell out of the
ring, until it stands at the head.
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
from hub.core.burst import Burst
from hub.core.composer import Composed, compose
from hub.core.counts import HubCounts
from hub.core.log_retry import Patience
from hub.core.newest import Newest
from hub.core.readings import Readings
from hub.core.subscriber import Client, Since, Standing, Subscriber
from hub.core.tail import ChannelTail
from hub.core.whole_messages import WholeMessages
from hub.wire.codes import SubscriptionCode

__all__ = ["Channel", "Traced"]

log = logging.getLogger(__name__)

RETRY_AFTER_MS: Final = 2000
MISTAKE: Final = "something in the hub failed; try again"

Traced = Callable[[str, Burst, int], None]
"""Told of each burst of a plan that was handed to so many subscribers, where somebody traces."""


class Channel:
    """A plan's fan-out. All methods but the coroutines run in one turn of the event loop and never block."""

    def __init__(
        self,
        plan_id: str,
        plan_log: PlanLog,
        policy: ChannelLimits,
        counts: HubCounts,
        compare_soon: Callable[[], None],
        failed: Callable[[Channel], None],
        traced: Traced | None = None,
    ) -> None:
        self.plan_id = plan_id
        self.subscribers: set[Subscriber] = set()
        self._policy = policy
        self._counts = counts
        self._failed = failed
        self._traced = traced
        self._patiently = Patience(plan_id, counts)
        self._tail = ChannelTail(plan_id, plan_log, self, counts, self._patiently, compare_soon, policy.ring_bytes)
        self._readings = Readings(plan_id, plan_log, self._tail, self._patiently, policy.burst_bytes * 2)
        self._newest = Newest(plan_id, policy)
        self._live: dict[Subscriber, Callable[[Burst], None]] = {}
        self._whole = WholeMessages(policy)

    @property
    def open(self) -> bool:
        """It stands in the log's tail, and subscribers can be placed."""
        return self._tail.open

    @property
    def deaf(self) -> bool:
        """The tail is lost: what is appended is not heard of until it stands again."""
        return self._tail.deaf

    @property
    def head(self) -> int:
        """The newest offset that the channel knows of."""
        return self._tail.head

    def compare(self, head: Head, known: int) -> None:
        """The slow beat: the log was at `head`, asked for when the channel was at `known`."""
        self._tail.compare(head, known)

    # -- the tail's side -----------------------------------------------------------------------------------------------

    def opened(self) -> None:
        self._stand_anew()
        self._for_each(self.subscribers, self._place)

    def taken(self, payloads: Sequence[bytes]) -> None:
        if self._newest.take(payloads):
            asyncio.get_running_loop().call_soon(self.flush)

    def epoch_began(self) -> None:
        self.flush()
        self._stand_at_head()  # so that no frame of the old epoch is handed out after one of the new
        self._whole.forget()

    def broke(self, lineage: Lineage) -> None:
        """Whoever saw what is no more is told, and gets a snapshot; whoever saw less just goes on."""
        places = [(s, Position(lineage.epoch, self._offset_of(s))) for s in self.subscribers]
        self._stand_anew()
        for subscriber, place in places:
            if subscriber.standing is Standing.JOINING or subscriber.needs_snapshot:
                continue  # it is placed when the log has answered, or its client takes more
            verdict = self._tail.continuity(place)
            if verdict == "ok":
                self._stand_behind(subscriber, place.offset)
            else:
                self._give_snapshot(subscriber, verdict)

    def deleted(self) -> None:
        told = list(self.subscribers)
        for subscriber in told:
            self.leave(subscriber)
        self._stand_anew()
        code, reason = SubscriptionCode.PLAN_DELETED, "the plan was deleted"
        self._for_each(told, lambda gone: gone.client.ended(self.plan_id, code, reason))

    def caught_up(self) -> None:
        self._for_each(self.subscribers, self.pump)

    def failed(self) -> None:
        self._failed(self)  # first, so that a subscriber that comes back at once is not put in here
        self._for_each(self.subscribers, lambda subscriber: self._refuse(subscriber, MISTAKE))

    def flush(self) -> None:
        """Hand out what is new: once a loop turn, the same bytes to every live subscriber."""
        if (burst := self._newest.hand_out()) is None:
            return
        whole = self._whole.take(burst)
        self._deliver(burst, self._live)
        if whole is not None:
            self._deliver(whole, self._whole.live)
        self._counts.latency.told(burst.frames[0], time.time())
        if self._traced is not None:
            self._traced(self.plan_id, burst, len(self._live) + len(self._whole.live))

    def _deliver(self, burst: Burst, live: Mapping[Subscriber, Callable[[Burst], None]]) -> None:
        self._counts.handed(burst, len(live))
        for subscriber, deliver in tuple(live.items()):
            try:
                deliver(burst)
            except Exception as error:
                self._give_up(subscriber, error)

    def _stand_anew(self) -> None:
        """Stand at the head of a story that may be another one."""
        self._stand_at_head()
        self._whole.lose()

    def _stand_at_head(self) -> None:
        """Stand at the tail's head, with nothing at hand that came before."""
        self._newest.stand_at(Position(self._tail.lineage.epoch, self._tail.head))
        self._readings.history.forget()

    # -- subscribers ---------------------------------------------------------------------------------------------------

    def join(self, client: Client, since: Since | None) -> Subscriber:
        """A new subscriber; `start` it in the same turn, when its client is ready to be told of its place."""
        subscriber = Subscriber(client, since, self._now())
        self.subscribers.add(subscriber)
        if not subscriber.knows_positions:
            self._whole.members.add(subscriber)
        return subscriber

    def start(self, subscriber: Subscriber) -> None:
        """Place it, and tell its client: now, or when the channel has opened."""
        if self.open:
            self._place(subscriber)

    def leave(self, subscriber: Subscriber) -> None:
        """Nothing more for this subscriber. Harmless when it left before."""
        subscriber.standing = Standing.GONE
        self.subscribers.discard(subscriber)
        self._live.pop(subscriber, None)
        self._whole.leave(subscriber)
        subscriber.void_work()

    def place_of(self, subscriber: Subscriber) -> Position | None:
        """The place after which what the subscriber gets next starts; None while its client is still to be told."""
        if subscriber.standing is Standing.JOINING or subscriber.needs_snapshot:
            return None
        return Position(self._tail.lineage.epoch, self._offset_of(subscriber))

    def filled(self, subscriber: Subscriber) -> None:
        """The client can't take more: the subscriber stays behind at what it was handed last."""
        if subscriber.standing is Standing.LIVE:
            self._stand_behind(subscriber, self._newest.handed)

    def pump(self, subscriber: Subscriber) -> None:
        """Hand a subscriber that is behind what follows its place, as long as its client takes it."""
        while self._pumpable(subscriber):
            if subscriber.needs_snapshot:
                self._await_snapshot(subscriber)
            elif not subscriber.knows_positions:
                self._pump_whole(subscriber)
            elif subscriber.offset == self._newest.handed:
                subscriber.standing = Standing.LIVE
                self._live[subscriber] = subscriber.deliver
            elif (burst := self._newest.after(subscriber.offset)) is not None:
                self._hand(subscriber, burst)
            else:
                self._fetch(subscriber)

    def _pump_whole(self, subscriber: Subscriber) -> None:
        if self._whole.go_live(subscriber, self._newest.handed):
            subscriber.standing = Standing.LIVE
        elif (at_hand := self._whole.after(subscriber.offset)) is not None:
            burst, subscriber.reach = at_hand
            self._hand(subscriber, burst)
        else:
            self._work(subscriber, self._hand_composed(subscriber))

    def _pumpable(self, subscriber: Subscriber) -> bool:
        behind = subscriber.standing is Standing.BEHIND and subscriber.work is None
        return behind and self.open and not subscriber.client.full

    def _offset_of(self, subscriber: Subscriber) -> int:
        return self._newest.handed if subscriber.standing is Standing.LIVE else subscriber.offset

    def _hand(self, subscriber: Subscriber, burst: Burst) -> None:
        subscriber.offset = burst.last  # before the delivery: it may fill the client, which then looks at this
        self._counts.handed(burst, 1)
        if burst.frames:
            subscriber.deliver(burst)

    def _stand_behind(self, subscriber: Subscriber, offset: int) -> None:
        self._live.pop(subscriber, None)
        self._whole.stop(subscriber)
        subscriber.void_work()
        subscriber.standing = Standing.BEHIND
        subscriber.offset = offset

    def _give_snapshot(self, subscriber: Subscriber, reason: str | None) -> None:
        """It goes on from a snapshot, as soon as its client takes one."""
        self._stand_behind(subscriber, self._offset_of(subscriber))
        subscriber.needs_snapshot, subscriber.reason = True, reason
        self.pump(subscriber)

    # -- places --------------------------------------------------------------------------------------------------------

    def _place(self, subscriber: Subscriber) -> None:
        """Put a joining subscriber where it asked to be, or say why that can't be."""
        if subscriber.standing is not Standing.JOINING or subscriber.work is not None:
            return
        match subscriber.since:
            case "snapshot":
                self._give_snapshot(subscriber, None)
            case "now":
                self._place_at_head(subscriber)
            case since:
                place = Position("", 0) if since == "start" else since
                if self._tail.continuity(place) in ("ok", "trimmed"):
                    self._place_after(subscriber, place)
                else:  # perhaps it is we who have not heard yet
                    self._work(subscriber, self._place_later(subscriber, place))

    def _place_at_head(self, subscriber: Subscriber) -> None:
        """Messages that are under way there come whole, too, where whole messages are wanted."""
        self.flush()
        if subscriber.knows_positions or self.head == 0:
            self._begin_at(subscriber, self.head)
        elif self._whole.composer is not None:
            self._begin_at(subscriber, self.head, reach=self._whole.composer.reach)
        else:
            self._work(subscriber, self._place_at_fold(subscriber))

    async def _place_at_fold(self, subscriber: Subscriber) -> None:
        head, folded = self.head, None
        with suppress(TimeoutError, SnapshotUnreadable):  # then they come from here on: an old front end asks only once
            async with asyncio.timeout(self._policy.fold_patience):
                folded = await self._readings.fold(lambda: min(head, self.head), least=head)
        subscriber.work = None
        offset, reach = (self.head, self.head) if folded is None else (folded.head.offset, folded.reach)
        self._begin_at(subscriber, offset, reach=reach)

    async def _place_later(self, subscriber: Subscriber, place: Position) -> None:
        await self._tail.catch_up()
        subscriber.work = None
        self._place_after(subscriber, place)

    def _place_after(self, subscriber: Subscriber, place: Position) -> None:
        verdict = self._tail.continuity(place)
        if verdict == "ok":
            self._begin_at(subscriber, place.offset)
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
        self._stand_behind(subscriber, offset)
        subscriber.reach = offset if reach is None else reach
        place = Position(self._tail.lineage.epoch, offset)
        subscriber.client.placed(self.plan_id, place, self.head, reason)
        if snapshot is not None and subscriber in self.subscribers:
            subscriber.client.snapshot(snapshot)
        self.pump(subscriber)

    # -- from the log: what is read is handed on if it is of the story that the tail follows ---------------------------

    def _fetch(self, subscriber: Subscriber) -> None:
        behind = self._newest.handed - subscriber.offset
        if behind > self._policy.snapshot_after and subscriber.knows_positions:
            self._give_snapshot(subscriber, None)
        else:
            merged = behind > self._policy.merge_after and subscriber.knows_positions
            self._work(subscriber, self._hand_page(subscriber, merged=merged))

    async def _hand_page(self, subscriber: Subscriber, *, merged: bool) -> None:
        burst = await self._readings.page(subscriber.offset, lambda: self._newest.handed, merged=merged)
        subscriber.work = None
        if burst == "trimmed":
            self._give_snapshot(subscriber, "trimmed")
        elif isinstance(burst, Burst) and not subscriber.client.full:  # else it asks again when it drains
            self._hand(subscriber, burst)
            self.pump(subscriber)

    async def _hand_composed(self, subscriber: Subscriber) -> None:
        after, reach = subscriber.offset, subscriber.reach
        composed = await self._readings.composed(after, reach, lambda: self._newest.handed)
        subscriber.work = None
        if composed == "trimmed" and (at_hand := self._newest.all_after(after)) is not None:
            composed = compose(at_hand)
        if composed == "trimmed":
            self._give_snapshot(subscriber, "trimmed")
        elif isinstance(composed, Composed) and not subscriber.client.full:
            self._whole.begin_at(composed.composer, self._newest.all_after(composed.burst.last))
            subscriber.reach = composed.reach
            self._hand(subscriber, composed.burst)
            self.pump(subscriber)

    def _await_snapshot(self, subscriber: Subscriber) -> None:
        subscriber.standing = Standing.JOINING
        subscriber.joining_since = self._now()
        self._work(subscriber, self._hand_snapshot(subscriber))

    async def _hand_snapshot(self, subscriber: Subscriber) -> None:
        folded = await self._readings.fold(lambda: self._newest.ring.first - 1)
        subscriber.work = None
        if subscriber.client.full:  # it was filled meanwhile; when it drains, it is asked for again
            self._stand_behind(subscriber, subscriber.offset)
            return
        reason, subscriber.reason = subscriber.reason, None
        subscriber.needs_snapshot = False
        self._begin_at(subscriber, folded.head.offset, reason, folded.frame, folded.reach)

    def _work(self, subscriber: Subscriber, work: Coroutine[Any, Any, None]) -> None:
        self._readings.start(subscriber, work, self._give_up)

    # -- life ----------------------------------------------------------------------------------------------------------

    def lose_patience(self) -> None:
        """Refuse those whom the log keeps waiting."""
        since = self._now() - self._policy.join_patience
        waiting = [s for s in self.subscribers if s.standing is Standing.JOINING and s.joining_since < since]
        self._for_each(waiting, lambda s: self._refuse(s, "the log does not answer; try again"))

    async def close(self) -> None:
        """End the tail and every task."""
        await self._tail.close()
        await self._readings.close()

    def _refuse(self, subscriber: Subscriber, message: str) -> None:
        self.leave(subscriber)
        subscriber.client.refused(self.plan_id, message, RETRY_AFTER_MS)

    def _for_each(self, subscribers: Iterable[Subscriber], do: Callable[[Subscriber], None]) -> None:
        """What fails for one of them does not fail for the others."""
        for subscriber in list(subscribers):
            try:
                do(subscriber)
            except Exception as error:
                self._give_up(subscriber, error)

    def _give_up(self, subscriber: Subscriber, error: BaseException) -> None:
        if isinstance(error, PlancastError):
            log.warning("plan %s: a subscriber can't be served: %s", self.plan_id, error)
            message = str(error)
        else:
            log.error("plan %s: a subscriber can't be served: %s", self.plan_id, error, exc_info=error)
            message = MISTAKE
        with suppress(Exception):
            self._refuse(subscriber, message)

    def _now(self) -> float:
        return asyncio.get_running_loop().time()
