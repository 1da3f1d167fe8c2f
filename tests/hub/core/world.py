"""Everything that can happen around channels, as moves that a hypothesis state machine or a random generator chooses."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

from broadcasters.position import Position
from broadcasters.supervision import Supervisor
from hub.config.limits import ChannelLimits
from hub.core.channel import Channel
from hub.core.counts import HubCounts
from hub.core.history import PAGES_KEPT
from hub.core.registry import Pace, Registry
from hub.core.subscriber import Since, Standing
from tests.hub.core.scripted_log import ScriptedLog, ScriptedWatch, part, step, update
from tests.hub.core.virtual_time import VirtualLoop, turns
from tests.hub.core.witness import ENDLESS, Witness

__all__ = ["POLICY", "World"]

T = TypeVar("T")

PLANS: Final = ("p", "q")
POLICY: Final = ChannelLimits(
    ring_bytes=700, ring_events=4, burst_bytes=100, merge_after=3, snapshot_after=12, join_patience=5.0
)
PACE: Final = Pace(sweep=1.0, compare=5.0, in_flight=0.25, linger=3.0)
MOST_HERE: Final = 6
HUB_LOG: Final = logging.getLogger("hub.core")


class _Listener(logging.Handler):
    """Collects logged errors that the hub survived: a client that raised, a task that failed."""

    def __init__(self, errors: list[Any]) -> None:
        super().__init__(logging.ERROR)
        self._errors = errors

    def emit(self, record: logging.LogRecord) -> None:
        self._errors.append(record.exc_info[1] if record.exc_info else record.getMessage())


class World:
    """A registry, its log, and clients that check what they get. The numbers that moves take wrap around."""

    def __init__(self) -> None:
        self.loop = VirtualLoop()
        self.log = ScriptedLog()
        self.counts = HubCounts()
        self.here: list[Witness] = []
        self.said = 0
        self.rough = False
        """The log was down or silent, and calls may still be waiting."""
        self.registry = Registry(self.log, self.counts, POLICY, PACE)
        self._supervisor = Supervisor()
        self.loop.call(lambda: self.registry.start(self._supervisor))
        self._errors: list[Any] = []
        self.loop.set_exception_handler(lambda _, context: self._errors.append(context))
        self._listener = _Listener(self._errors)
        HUB_LOG.addHandler(self._listener)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        done = self.loop.run_until_complete(work)
        self.check()
        return done

    # -- the plan ------------------------------------------------------------------------------------------------------

    def say(self, plan: int, kind: int, count: int) -> None:
        """Append without reporting it yet."""
        plan_id = PLANS[plan % 2]
        payloads: list[bytes] = []
        for _ in range(count):
            self.said += 1
            if kind % 6 == 5:
                payloads.append(update(self.said, plan_id, status="completed" if count == 2 else "in_progress"))
            elif kind % 5 == 4:
                payloads.append(step(self.said, plan_id))
            elif kind % 5 == 3:
                payloads.append(part(self.said, f"m{kind % 2}", plan_id, final=True))
            else:
                payloads.append(part(self.said, f"m{kind % 2}", plan_id))
        self._changing(lambda: self.log.say(*payloads, plan_id=plan_id))

    def restart(self, plan: int) -> None:
        self._changing(self.log.story(PLANS[plan % 2]).restart)

    def fork(self, plan: int, lost: int) -> None:
        """A replica without the last few events takes over. Arrivals on their way to hubs may still come."""
        story = self.log.story(PLANS[plan % 2])
        least = max(1, story.floor, story.checkpoint.position.offset if story.checkpoint else 0)
        self._changing(lambda: story.fork(max(least, len(story.payloads) - lost)))

    def vanish(self, plan: int) -> None:
        """The log is lost without a report."""
        self._changing(self.log.story(PLANS[plan % 2]).vanish)

    def delete(self, plan: int) -> None:
        self._changing(lambda: self.log.forget(PLANS[plan % 2]))

    def trim(self, plan: int, window: int) -> None:
        story = self.log.story(PLANS[plan % 2])
        if story.payloads:
            self._changing(lambda: story.trim(window))

    def _changing(self, change: Callable[[], object]) -> None:
        for witness in self.here:
            witness.judge()
        change()
        for witness in self.here:
            witness.judge()

    # -- the tail ------------------------------------------------------------------------------------------------------

    def hear(self, which: int, at: int, how: str) -> None:
        """Report an arrival: the next one, a later one first, one twice; or drop one."""
        if (watch := self._watch(which)) is None:
            return
        if how == "all":
            self.loop.call(watch.tell_all)
        elif not watch.pending:
            return
        elif how == "drop":
            watch.pending.pop(at % len(watch.pending))
        else:
            at = 0 if how == "next" else at % len(watch.pending)
            self.loop.call(lambda: watch.tell(at, again=how == "twice"))

    def lose_tail(self, which: int) -> None:
        if watch := self._watch(which):
            self.loop.call(watch.lose)

    def resume_tail(self, which: int) -> None:
        if watch := self._watch(which):
            self.loop.call(watch.resume)

    def _watch(self, which: int) -> ScriptedWatch | None:
        watches = self.log.watches
        return watches[which % len(watches)] if watches else None

    # -- the log's responses-------------------------------------------------------------------------------------------

    def weather(self, kind: str, slowness: int) -> None:
        if kind != "fine":
            self.rough = True
            for witness in self.here:
                witness.exact = False
        self.log.down = kind == "down"
        self.log.hanging = kind == "hanging"
        self.log.looks_late = slowness % 2 == 1
        self.log.slowness = slowness

    def release(self, count: int, broken: bool) -> None:
        self.log.release(count, broken=broken)

    # -- clients -------------------------------------------------------------------------------------------------------

    def join(self, plan: int, since: Since | None, room: int, mood: str) -> None:
        if len(self.here) >= MOST_HERE:
            self.leave(room)
        witness = Witness(self.log.story(PLANS[plan % 2]), since, room or ENDLESS)
        witness.exact = not self.rough
        self._give_mood(witness, mood)
        if room == 1 and mood == "full":
            witness.full = True
        self.here.append(witness)
        self.loop.call(lambda: witness.join_through(self.registry))

    def join_at(self, plan: int, which: int, offset: int, room: int, mood: str) -> None:
        """Join at a position of any epoch there ever was: valid, forked, ahead, trimmed, or of another lineage."""
        epochs = list(self.log.story(PLANS[plan % 2]).told)
        self.join(plan, Position([*epochs, "foreign"][-1 - which % (len(epochs) + 1)], offset), room, mood)

    def rejoin(self, which: int, room: int) -> None:
        """A client leaves and resumes at its position."""
        if (witness := self._witness(which)) is not None and witness.place is not None:
            place, plan = witness.place, PLANS.index(witness.story.plan_id)
            self.leave(which)
            self.join(plan, place, room, "")

    def leave(self, which: int) -> None:
        if (witness := self._witness(which)) is not None:
            self.loop.call(witness.leave)
            self._forget_gone()

    def fill(self, which: int) -> None:
        if (witness := self._witness(which)) is not None:
            self.loop.call(witness.fill)

    def drain(self, which: int, room: int) -> None:
        if (witness := self._witness(which)) is not None:
            self.loop.call(lambda: witness.drain(room or ENDLESS))

    def _witness(self, which: int) -> Witness | None:
        self._forget_gone()
        return self.here[which % len(self.here)] if self.here else None

    def _give_mood(self, witness: Witness, mood: str) -> None:
        match mood:
            case "leaves at an event":
                witness.on_event = lambda: witness.leave() if witness.here else None
            case "leaves when placed":
                witness.on_placed = lambda: witness.leave() if witness.here else None
            case "drains at once":
                witness.on_full = lambda: witness.drain(1)
            case "comes back":
                witness.on_gone = lambda: self._come_back(witness)
            case _:
                pass

    def _come_back(self, gone: Witness) -> None:
        witness = Witness(gone.story, gone.place or gone.since)
        witness.exact = not self.rough
        self.here.append(witness)
        witness.join_through(self.registry)

    def _forget_gone(self) -> None:
        self.here = [witness for witness in self.here if witness.here]

    # -- time ----------------------------------------------------------------------------------------------------------

    def turn(self, count: int) -> None:
        self.run(turns(count))

    def wait(self, seconds: float) -> None:
        self.run(asyncio.sleep(seconds))

    # -- invariants ----------------------------------------------------------------------------------------------------

    def settle(self, dropped: bool) -> None:
        """Let everything arrive or be given up; then every client must be at the head, or have been notified."""
        self.weather("fine", 1)
        self.log.release()
        for watch in list(self.log.watches):
            self.loop.call(watch.resume)
            if dropped:
                watch.pending.clear()
            self.loop.call(watch.tell_all)
        for _ in range(2):
            for witness in self.here:
                witness.room = ENDLESS
                if witness.full:
                    self.loop.call(witness.drain)
            self.wait(PACE.compare + 2 * PACE.in_flight + 1)
        self._forget_gone()
        for witness in self.here:
            self._check_settled(witness)
        self.rough = False

    def _check_settled(self, witness: Witness) -> None:
        story = witness.story
        assert witness.place is not None, "neither placed nor refused"
        assert not witness._awaits_snapshot, "notified of a break, and left waiting"
        assert witness.subscriber.standing is Standing.LIVE, (witness.subscriber.standing, witness.told)
        if witness.since is None and witness.place.offset < len(story.payloads):
            assert witness.owed(story.head.position) == [], (witness.place, story.head)
        else:
            assert witness.place.offset == len(story.payloads), (witness.place, len(story.payloads), witness.told)
        verdict = story.lineage.continuity(witness.place, len(story.payloads), 0)
        assert verdict == "ok", (verdict, witness.place, story.lineage, witness.told)

    def check(self) -> None:
        for error in self._errors:
            if isinstance(error, BaseException):
                raise error
            raise AssertionError(error)
        for channel in self.registry.channels.values():
            self._check_bounds(channel)
        for witness in self.here:
            if witness.here and (place := witness.channel.position_of(witness.subscriber)) is not None:
                assert witness.place is not None
                if witness.since is None and place.offset > witness.place.offset:
                    assert witness.owed(place) == [], "it got less than the channel counted"
                else:
                    assert place.offset == witness.place.offset, "the channel has another position for it"

    def _check_bounds(self, channel: Channel) -> None:
        ring = channel._recent.ring
        assert len(ring._frames) <= POLICY.ring_events
        assert ring.size <= POLICY.ring_bytes
        assert ring.size == sum(map(len, ring._frames))
        assert channel.head == ring.last == channel._recent.handed + len(channel._recent.fresh)
        at_work = [task for task in channel._reader.tasks if not task.done() and not task.cancelling()]
        assert len(at_work) <= len(channel.subscribers)
        assert len(channel._reader.history._kept) <= PAGES_KEPT
        assert channel._reader.history._kept_bytes <= POLICY.burst_bytes * 8
        assert channel._tail._early.size <= POLICY.ring_bytes or len(channel._tail._early) == 1
        here = {w.subscriber for w in self.here if w.here and w.channel is channel}
        assert channel.subscribers == here, "either left or subscribed"
        assert set(channel._live) <= channel.subscribers
        whole = channel._whole
        assert set(whole.live) <= whole.members <= channel.subscribers
        assert whole.members == {one for one in channel.subscribers if not one.knows_positions}
        assert whole.composer is None or whole.composer.at == channel._recent.handed
        assert (whole.composer is None) <= (not whole.live)
        assert (not whole.members) <= (whole.composer is None)
        frames = [frame for ready in whole._ring for frame in ready.frames]
        assert whole._count == len(frames) <= POLICY.ring_events
        assert whole._size == sum(map(len, frames)) <= POLICY.ring_bytes

    def close(self) -> None:
        """Close everything: no task, no watch and no subscriber is left."""
        for witness in self.here:
            if witness.here:
                self.loop.call(witness.leave)
        self.log.release(broken=True)
        self.run(self._supervisor.close())
        self.run(self.registry.close())
        left = asyncio.all_tasks(self.loop)
        watches = list(self.log.watches)
        self.loop.close()
        HUB_LOG.removeHandler(self._listener)
        assert not left, left
        assert not watches
        assert not self.registry.channels
        assert not self.registry._left
