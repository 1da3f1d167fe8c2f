"""One plan as one hub node sees it: its tail, its newest encoded frames, its subscribers.

One mechanism serves joining, resuming, lagging and repair: a subscriber *has a position*. At the head it is live and
is handed every burst; otherwise it is behind and is pumped from the ring, or from the log when it fell out of the
ring, until it stands at the head. A channel follows its plan the same way: it has a head of its own, takes what comes
next, and reads the log when something is missing.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, NamedTuple, TypeVar

from broadcasters.checkpointing import snapshot_of
from broadcasters.errors import LogError
from broadcasters.log.contract import Head, PlanLog, Watch
from broadcasters.position import Lineage, Position
from broadcasters.snapshot import encode
from hub.core.burst import Burst
from hub.core.counts import HubCounts, said_at
from hub.core.history import History
from hub.core.policy import Policy
from hub.core.ring import Ring
from hub.core.shared_call import SharedCall
from hub.core.subscriber import Client, Since, Standing, Subscriber
from hub.wire.codes import SubscriptionCode
from hub.wire.frames import event_frame, event_prefix, snapshot_frame

__all__ = ["Channel"]

log = logging.getLogger(__name__)
T = TypeVar("T")


class _Folded(NamedTuple):
    """A snapshot frame, and the place it was folded up to."""

    place: Position
    frame: bytes


class Channel:
    """A plan's fan-out. All methods but the coroutines run in one turn of the event loop and never block."""

    def __init__(
        self, plan_id: str, plan_log: PlanLog, policy: Policy, counts: HubCounts, compare_soon: Callable[[], None]
    ) -> None:
        self.plan_id = plan_id
        self.head = 0
        self.floor = 0
        self.lineage = Lineage()
        self.open = False
        self.deaf = False
        """The tail is lost: what is appended is not heard of until it stands again."""
        self.subscribers: set[Subscriber] = set()
        self._log = plan_log
        self._policy = policy
        self._counts = counts
        self._compare_soon = compare_soon
        self._history = History(plan_id, plan_log, policy.burst_bytes * 2)
        self._ring = Ring(0, policy.ring_bytes, policy.ring_events)
        self._prefix = event_prefix(plan_id, "")
        self._fresh: list[bytes] = []  # encoded, in the ring, and not handed out yet: the offsets up to head
        self._live: dict[Subscriber, Callable[[Burst], None]] = {}
        self._last_burst = Burst((), 0, 0)
        self._heard = 0  # the greatest offset heard of while it could not be taken
        self._repair: asyncio.Task[None] | None = None
        self._folds: SharedCall[None, _Folded] = SharedCall()
        self._folded: _Folded | None = None
        self._beginnings = 0  # counted up when the channel starts over: what was read before is void
        self._watch: Watch | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._spawn(self._begin())

    # -- the tail ----------------------------------------------------------------------------------------------------

    def arrived(self, epoch: str, first: int, payloads: Sequence[bytes]) -> None:
        """The log says that these were appended. What doesn't come next is found, or known already."""
        last = first + len(payloads) - 1
        if not self.open or self._repair is not None:
            self._heard = max(self._heard, last)
            return
        if last <= self.head and epoch == self.lineage.epoch:
            return
        if epoch != self.lineage.epoch or first > self.head + 1:
            self._counts.holes += epoch == self.lineage.epoch
            self._heard = max(self._heard, last)
            self._mend()
            return
        self._take(payloads[self.head + 1 - first :] if first <= self.head else payloads)

    def lost(self) -> None:
        self.deaf = True

    def resumed(self) -> None:
        self.deaf = False
        self._compare_soon()

    def deleted(self) -> None:
        self._mend()  # or it begins again, and what was known of it is void
        for subscriber in list(self.subscribers):
            self.leave(subscriber)
            subscriber.client.ended(self.plan_id, SubscriptionCode.PLAN_DELETED, "the plan was deleted")

    def compare(self, head: Head, known: int) -> None:
        """The slow beat: the log was at `head`, asked for when the channel was at `known`. What was missed is read."""
        if not self.open or self._repair is not None:
            return
        self.floor = max(self.floor, head.floor)
        if head.offset > self.head or head.offset < known or head.lineage.epoch != self.lineage.epoch:
            self._counts.holes += head.offset > self.head
            self._mend()

    def _take(self, payloads: Sequence[bytes]) -> None:
        prefix, offset = self._prefix, self.head + 1
        frames = [event_frame(prefix, at, payload) for at, payload in enumerate(payloads, offset)]
        self.head += len(frames)
        self._ring.extend(frames)
        if not self._fresh:
            asyncio.get_running_loop().call_soon(self.flush)
        self._fresh += frames

    def flush(self) -> None:
        """Hand out what is new: once a loop turn, the same bytes to every live subscriber."""
        if not self._fresh:
            return
        frames, self._fresh = self._fresh, []
        if self._live:
            burst = Burst(frames, self.head + 1 - len(frames), self.head)
            self._counts.deliveries += len(frames) * len(self._live)
            self._counts.delivered_bytes += burst.size * len(self._live)
            if (at := said_at(frames[0])) is not None:
                self._counts.latency.observe(time.time() - at)
            for deliver in tuple(self._live.values()):
                deliver(burst)

    def _mend(self) -> None:
        if self._repair is None:
            self._repair = self._spawn(self._read_on())

    async def _read_on(self) -> None:
        """Read the log from the channel's head on until nothing that was heard of is missing."""
        try:
            while True:
                page = await self._patiently(lambda: self._log.read(self.plan_id, self.head))
                verdict = page.head.lineage.continuity(
                    Position(self.lineage.epoch, self.head), page.head.offset, page.head.floor
                )
                if verdict != "ok":
                    self._start_over(page.head, verdict)
                else:
                    self._adopt(page.head.lineage)
                    self._take(page.payloads)
                if self.head >= max(page.head.offset, self._heard) or not page.payloads:
                    break
        finally:
            self._repair = None
        self._heard = 0
        self.flush()
        for subscriber in [s for s in self.subscribers if s.standing is Standing.BEHIND]:
            self.pump(subscriber)

    def _adopt(self, lineage: Lineage) -> None:
        if lineage != self.lineage:
            self.lineage = lineage
            self._prefix = event_prefix(self.plan_id, lineage.epoch)

    def _start_over(self, head: Head, reason: str) -> None:
        """The log is not what it was: the channel stands at its head, and everybody is told and gets a snapshot."""
        self._counts.continuity_lost += 1
        self._adopt(head.lineage)
        self.head, self.floor, self._heard = head.offset, head.floor, 0
        self._fresh.clear()
        self._beginnings += 1
        self._folded = None
        self._last_burst = Burst((), 0, 0)
        self._ring = Ring(self.head, self._policy.ring_bytes, self._policy.ring_events)
        self._history.forget()
        for subscriber in self.subscribers:
            self._give_snapshot(subscriber, reason)

    # -- subscribers -------------------------------------------------------------------------------------------------

    def join(self, client: Client, since: Since | None) -> Subscriber:
        """A new subscriber, to be started when its client is ready to be told of its place."""
        subscriber = Subscriber(client, since, self._now())
        self.subscribers.add(subscriber)
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

    def place_of(self, subscriber: Subscriber) -> Position:
        """The place after which what the subscriber gets next starts."""
        live = subscriber.standing is Standing.LIVE
        return Position(self.lineage.epoch, self._handed if live else subscriber.offset)

    def filled(self, subscriber: Subscriber) -> None:
        """The client can't take more: the subscriber stays behind at what it was handed last."""
        if self._live.pop(subscriber, None) is not None:
            subscriber.standing = Standing.BEHIND
            subscriber.offset = self._handed

    def pump(self, subscriber: Subscriber) -> None:
        """Hand a subscriber that is behind what follows its place, as long as its client takes it."""
        client = subscriber.client
        while subscriber.standing is Standing.BEHIND and not subscriber.fetching and not client.full:
            if subscriber.offset == self._handed:
                subscriber.standing = Standing.LIVE
                self._live[subscriber] = subscriber.deliver
            elif subscriber.offset > self._handed:
                self._mend()  # its snapshot was newer than what we have heard of
                return
            elif not self._hand_from_ring(subscriber):
                self._fetch(subscriber)

    @property
    def _handed(self) -> int:
        return self.head - len(self._fresh)

    def _hand_from_ring(self, subscriber: Subscriber) -> bool:
        after = subscriber.offset
        burst = self._last_burst
        if burst.first != after + 1 or burst.last > self._handed:
            frames = self._ring.after(after, self._handed, self._policy.burst_bytes)
            if frames is None:
                return False
            burst = self._last_burst = Burst(frames, after + 1, after + len(frames))
        self._hand(subscriber, burst)
        return True

    def _hand(self, subscriber: Subscriber, burst: Burst) -> None:
        subscriber.offset = burst.last  # before the delivery: it may fill the client, which then looks at this
        self._counts.deliveries += len(burst.frames)
        subscriber.deliver(burst)

    def _place(self, subscriber: Subscriber) -> None:
        """Put a joining subscriber where it asked to be, or say why that can't be."""
        self.flush()
        since = subscriber.since
        if since == "snapshot":
            self._give_snapshot(subscriber, None)
        elif since == "now":
            self._begin_at(subscriber, Position(self.lineage.epoch, self.head))
        else:
            place = Position("", 0) if since == "start" else since
            verdict = self.lineage.continuity(place, self.head, self.floor)
            if verdict == "ok":
                self._begin_at(subscriber, Position(self.lineage.epoch, place.offset))
            elif verdict == "trimmed":
                self._give_snapshot(subscriber, verdict)
            else:  # perhaps it is we who have not heard yet
                self._spawn(self._place_again(subscriber, place))

    async def _place_again(self, subscriber: Subscriber, place: Position) -> None:
        head = await self._patiently(lambda: self._log.head(self.plan_id))
        if subscriber.standing is not Standing.JOINING:
            return
        verdict = head.lineage.continuity(place, head.offset, head.floor)
        if verdict == "ok":
            self._begin_at(subscriber, Position(head.lineage.epoch, place.offset))
        else:
            self._give_snapshot(subscriber, verdict)

    def _begin_at(
        self, subscriber: Subscriber, place: Position, reason: str | None = None, snapshot: bytes | None = None
    ) -> None:
        subscriber.standing = Standing.BEHIND
        subscriber.offset = place.offset
        subscriber.client.placed(self.plan_id, place, max(self.head, place.offset), reason)
        if snapshot is not None:
            subscriber.client.snapshot(snapshot)
        self.pump(subscriber)

    # -- from the log ------------------------------------------------------------------------------------------------

    def _fetch(self, subscriber: Subscriber) -> None:
        behind = self.head - subscriber.offset
        if behind > self._policy.snapshot_after and subscriber.knows_positions:
            self._give_snapshot(subscriber, None)
        else:
            subscriber.fetching = True
            self._spawn(self._fetch_page(subscriber, merged=behind > self._policy.merge_after))

    async def _fetch_page(self, subscriber: Subscriber, *, merged: bool) -> None:
        after, beginnings = subscriber.offset, self._beginnings
        try:
            burst = await self._patiently(lambda: self._history.burst(after, self._prefix, merged=merged))
        finally:
            subscriber.fetching = False
        if subscriber.standing is not Standing.BEHIND or subscriber.offset != after or self._beginnings != beginnings:
            self.pump(subscriber)
        elif burst is None:
            self._give_snapshot(subscriber, "trimmed")
        elif burst.last > self._handed:
            self._mend()  # the log is further than we have heard; then this is in the ring
        else:
            self._hand(subscriber, burst)
            self.pump(subscriber)

    def _give_snapshot(self, subscriber: Subscriber, reason: str | None) -> None:
        self._live.pop(subscriber, None)
        subscriber.standing = Standing.JOINING
        subscriber.joining_since = self._now()
        self._spawn(self._hand_snapshot(subscriber, reason))

    async def _hand_snapshot(self, subscriber: Subscriber, reason: str | None) -> None:
        since = subscriber.joining_since
        place, frame = await self._fold()
        if subscriber.standing is Standing.JOINING and subscriber.joining_since == since:
            self._begin_at(subscriber, place, reason, frame)

    async def _fold(self) -> _Folded:
        """The plan's snapshot, encoded, shared by all who ask while the ring still reaches back to it."""
        if self._folded is None or self._folded.place.offset + 1 < self._ring.first:
            self._folded = await self._folds.ask(None, self._read_snapshot)
        return self._folded

    async def _read_snapshot(self) -> _Folded:
        while True:
            beginnings = self._beginnings
            snapshot, head = await self._patiently(lambda: snapshot_of(self._log, self.plan_id))
            if beginnings == self._beginnings:
                place = Position(head.lineage.epoch, snapshot.offset)
                return _Folded(place, snapshot_frame(self.plan_id, place, encode(snapshot)))

    # -- life --------------------------------------------------------------------------------------------------------

    async def _begin(self) -> None:
        """Stand in the log's tail first, then look where the plan is: so nothing falls between."""
        self._watch = await self._patiently(lambda: self._log.watch(self.plan_id, self))
        head = await self._patiently(lambda: self._log.head(self.plan_id))
        self._adopt(head.lineage)
        self.head, self.floor = head.offset, head.floor
        self._ring = Ring(self.head, self._policy.ring_bytes, self._policy.ring_events)
        self.open = True
        if self._heard > self.head:
            self._mend()
        for subscriber in list(self.subscribers):
            self._place(subscriber)

    def lose_patience(self) -> None:
        """Refuse those whom the log keeps waiting."""
        now = self._now()
        for subscriber in [s for s in self.subscribers if s.standing is Standing.JOINING]:
            if now - subscriber.joining_since > self._policy.join_patience:
                self.leave(subscriber)
                subscriber.client.refused(self.plan_id, "the log does not answer; try again", 2000)

    async def close(self) -> None:
        """End the tail and every task."""
        self.open = False
        self._history.forget()
        self._folds.cancel()
        for task in (tasks := list(self._tasks)):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._watch is not None:
            await self._watch.close()

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    async def _patiently(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Ask the log until it answers. Whoever is waiting is refused by `lose_patience` meanwhile."""
        pause = 0.05
        while True:
            try:
                return await ask()
            except LogError as error:
                self._counts.log_errors[type(error).__name__] += 1
                log.warning("the log does not answer for plan %s: %s", self.plan_id, error)
                await asyncio.sleep(pause * (0.5 + random.random()))
                pause = min(pause * 2, 2.0)

    def _spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("plan %s: %s", self.plan_id, error, exc_info=error)
