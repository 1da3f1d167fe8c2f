"""Which plans a node follows, and the comparison of heads that finds unreported events."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from broadcasters.position import Position
from broadcasters.supervision import Supervisor
from hub.config.limits import ChannelLimits
from hub.core.channel import Channel
from hub.core.counts import HubCounts
from hub.core.registry import HEADS_AT_ONCE, NoRoom, Pace, Registry
from hub.core.subscriber import Since, Standing
from tests.hub.core.scripted_log import ScriptedLog, part
from tests.hub.core.virtual_time import in_virtual_time, turns
from tests.hub.core.witness import Witness

PACE = Pace(sweep=1.0, compare=5.0, in_flight=0.25, linger=3.0)


@asynccontextmanager
async def running(log: ScriptedLog, max_channels: int = 4096) -> AsyncIterator[Registry]:
    registry = Registry(log, HubCounts(), ChannelLimits(), PACE, max_channels)
    supervisor = Supervisor()
    registry.start(supervisor)
    yield registry
    await supervisor.close()
    await registry.close()
    assert registry.channels == {}
    assert log.watches == []
    assert asyncio.all_tasks() == {asyncio.current_task()}


def join(registry: Registry, log: ScriptedLog, plan_id: str = "p", since: Since | None = "now") -> Witness:
    witness = Witness(log.story(plan_id), since)
    witness.join_through(registry)
    return witness


def heads_asked(log: ScriptedLog) -> list[tuple[str, ...]]:
    return [asked[1:] for asked in log.asked if asked[0] == "heads"]


@in_virtual_time
async def test_many_first_subscribers_open_a_plan_once() -> None:
    log = ScriptedLog()
    async with running(log) as registry:
        witnesses = [join(registry, log) for _ in range(50)]
        await turns()
        assert log.asked == [("watch", "p"), ("heads", "p")]
        assert {witness.subscriber.standing for witness in witnesses} == {Standing.LIVE}
        assert len({id(witness.channel) for witness in witnesses}) == 1


@in_virtual_time
async def test_a_reloaded_page_finds_its_channel_open() -> None:
    log = ScriptedLog()
    async with running(log) as registry:
        first = join(registry, log)
        await turns()
        first.leave()
        await asyncio.sleep(PACE.linger)
        second = join(registry, log)
        assert second.channel is first.channel
        await asyncio.sleep(10 * PACE.linger)
        assert second.subscriber.standing is Standing.LIVE
        assert log.count("watch") == 1


@in_virtual_time
async def test_a_channel_without_subscribers_is_closed_after_a_while() -> None:
    log = ScriptedLog()
    async with running(log) as registry:
        first = join(registry, log)
        await turns()
        first.leave()
        await asyncio.sleep(PACE.linger + 2 * PACE.sweep)
        assert registry.channels == {}
        assert registry._left == {}
        assert registry._closing == set()
        assert log.watches == []
        second = join(registry, log)
        await turns()
        assert second.channel is not first.channel
        assert second.subscriber.standing is Standing.LIVE


@in_virtual_time
async def test_a_short_visit_restarts_the_linger() -> None:
    log = ScriptedLog()
    async with running(log) as registry:
        join(registry, log).leave()
        await asyncio.sleep(PACE.linger + 0.5)
        visitor = join(registry, log)
        visitor.leave()
        await asyncio.sleep(PACE.linger - PACE.sweep)
        assert join(registry, log).channel is visitor.channel


@in_virtual_time
async def test_a_channel_that_never_opened_is_closed_as_well() -> None:
    log = ScriptedLog()
    log.down = True
    async with running(log) as registry:
        witness = join(registry, log)
        await asyncio.sleep(ChannelLimits().join_patience + 2 * PACE.sweep)
        assert witness.told == [("refused",)]
        await asyncio.sleep(PACE.linger + 2 * PACE.sweep)
        assert registry.channels == {}


@in_virtual_time
async def test_an_unreported_event_is_found_by_comparing_heads() -> None:
    log = ScriptedLog()
    async with running(log) as registry:
        witness = join(registry, log)
        await turns()
        log.say(part(1))
        log.drop_all()
        await asyncio.sleep(PACE.compare - 0.1)
        assert witness.frames == []
        await asyncio.sleep(PACE.in_flight + 0.2)
        assert witness.frames == [(1, 1)]
        assert registry._counts.holes == 1


@in_virtual_time
async def test_events_on_their_way_are_not_taken_for_lost() -> None:
    log = ScriptedLog()
    async with running(log) as registry:
        log.story().append([part(1)])
        witness = join(registry, log)
        await turns()
        await asyncio.sleep(PACE.compare - 0.1)
        log.say(part(2))
        await asyncio.sleep(0.2)
        log.tell_all()
        await asyncio.sleep(1)
        assert witness.frames == [(2, 2)]
        assert log.count("read") == 0
        assert registry._counts.holes == 0


@in_virtual_time
async def test_a_resumed_watch_is_compared_at_once() -> None:
    log = ScriptedLog()
    async with running(log) as registry:
        witness, other = join(registry, log), join(registry, log, "q")
        await turns()
        log.watches[0].lose()
        assert registry.watch_lost is True
        log.say(part(1))
        await turns()
        log.asked.clear()
        log.watches[0].resume()
        assert [channel.watch_lost for channel in registry.channels.values()] == [False, False]
        await turns()
        assert witness.frames == [(1, 1)]
        assert heads_asked(log) == [("p", "q")], "one read for all"
        assert other.frames == []


@in_virtual_time
async def test_a_channel_whose_watch_stays_lost_advances_with_each_comparison() -> None:
    log = ScriptedLog()
    async with running(log) as registry:
        witness = join(registry, log)
        await turns()
        log.watches[0].lose()
        for number in range(1, 4):
            log.say(part(number))
            await asyncio.sleep(PACE.compare + PACE.in_flight + 0.1)
            assert witness.frames[-1] == (number, number)


@in_virtual_time
async def test_a_log_that_is_down_does_not_end_the_comparisons() -> None:
    log = ScriptedLog()
    async with running(log) as registry:
        witness = join(registry, log)
        await turns()
        log.down = True
        log.say(part(1))
        log.drop_all()
        await asyncio.sleep(4 * PACE.compare)
        assert registry._counts.log_errors["LogUnavailable"] >= 3
        log.down = False
        await asyncio.sleep(2 * PACE.compare)
        assert witness.frames == [(1, 1)]


@in_virtual_time
async def test_an_unexpected_error_of_the_log_does_not_end_the_comparisons() -> None:
    """A hub that reported ready after its comparisons, and so all of its channels, had stopped."""
    log = ScriptedLog()
    async with running(log) as registry:
        witness, leaving = join(registry, log), join(registry, log, "q")
        await turns()
        log.raises = ValueError("not an integer")
        await asyncio.sleep(2 * PACE.compare)
        leaving.leave()
        await asyncio.sleep(PACE.linger + 2 * PACE.sweep)
        assert [*registry.channels] == ["p"], "the sweep continues"
        log.say(part(1))
        log.drop_all()
        log.raises = None
        await asyncio.sleep(PACE.compare)
        assert witness.frames == [(1, 1)]
        assert witness.subscriber.standing is Standing.LIVE


@in_virtual_time
@pytest.mark.parametrize("asked", ["watch", "heads"])
async def test_a_tail_that_cannot_begin_refuses_its_subscribers_and_the_next_gets_a_new_one(asked: str) -> None:
    """A plan that was refused for ever, because clients retried before the failed channel was dropped."""
    log = ScriptedLog()
    async with running(log) as registry:
        waiting = [join(registry, log) for _ in range(3)]
        while not log.count(asked):
            await turns(1)
        log.raises = ValueError("not an integer")
        await turns()
        assert [witness.told for witness in waiting] == [[("refused",)]] * 3
        assert registry.channels == {}
        log.raises = None
        again = join(registry, log)
        await turns()
        assert again.subscriber.standing is Standing.LIVE
        await asyncio.sleep(PACE.linger + 2 * PACE.sweep)
        assert [*registry.channels.values()] == [again.channel]
        assert len(log.watches) == 1


@in_virtual_time
async def test_a_tail_that_cannot_continue_refuses_its_subscribers() -> None:
    log = ScriptedLog()
    async with running(log) as registry:
        witness = join(registry, log)
        await turns()
        log.say(part(1))
        log.drop_all()
        log.raises = ValueError("not an integer")
        witness.channel._tail.mend()
        await turns()
        assert witness.told[-1] == ("refused",)
        log.raises = None
        again = join(registry, log, since=Position("", 0))
        await turns()
        assert again.frames == [(1, 1)]


@in_virtual_time
async def test_heads_are_read_in_bounded_batches_and_for_open_channels_only() -> None:
    log = ScriptedLog()
    async with running(log) as registry:
        for number in range(HEADS_AT_ONCE + 7):
            join(registry, log, f"p{number}")
        await turns()
        log.hanging = True
        join(registry, log, "not-open-yet")
        await turns()
        log.hanging = False
        log.asked.clear()
        await asyncio.sleep(PACE.compare + 0.1)
        trips = [len(asked) for asked in heads_asked(log)]
        assert trips[:2] == [HEADS_AT_ONCE, 7]


@in_virtual_time
async def test_a_channel_may_close_while_heads_are_read() -> None:
    log = ScriptedLog()
    async with running(log) as registry:
        witness = join(registry, log)
        await turns()
        log.say(part(1))
        log.drop_all()
        comparing = asyncio.create_task(registry.compare(in_flight=10))
        await turns()
        witness.leave()
        await asyncio.sleep(PACE.linger + 2 * PACE.sweep)
        again = join(registry, log)
        await comparing
        assert again.subscriber.standing is Standing.LIVE


@in_virtual_time
async def test_a_full_registry_follows_no_more_plans() -> None:
    log = ScriptedLog()
    async with running(log, max_channels=2) as registry:
        join(registry, log, "p")
        leaving = join(registry, log, "q")
        with pytest.raises(NoRoom):
            join(registry, log, "r")
        assert registry.full
        join(registry, log, "p")
        leaving.leave()
        await asyncio.sleep(PACE.linger + 2 * PACE.sweep)
        join(registry, log, "r")


@in_virtual_time
async def test_a_channel_without_subscribers_makes_room_for_another() -> None:
    """Those left longest ago go first; plans followed without a channel take room as well."""
    log = ScriptedLog()
    async with running(log, max_channels=3) as registry:
        leaving = [join(registry, log, plan_id) for plan_id in ("p", "q", "r")]
        await turns()
        assert registry.full
        for witness in leaving:
            witness.leave()
            registry.left(witness.channel)
            assert not registry.full
        join(registry, log, "s")
        assert sorted(registry.channels) == ["q", "r", "s"]
        again = join(registry, log, "q")
        assert again.channel is leaving[1].channel
        registry.reserve(1)
        assert sorted(registry.channels) == ["q", "s"]
        assert registry.full
        for wanted in (lambda: registry.reserve(1), lambda: join(registry, log, "t")):
            with pytest.raises(NoRoom, match="PLANCAST_MAX_PLANS"):
                wanted()
        registry.release(1)
        join(registry, log, "t")
        assert registry._counts.refused_plans == {"process": 2}


@in_virtual_time
async def test_subscribers_are_counted_by_standing() -> None:
    log = ScriptedLog()
    async with running(log) as registry:
        join(registry, log)
        behind = join(registry, log)
        await turns()
        log.tell(part(1))
        await turns()
        behind.fill()
        log.tell(part(2), part(3))
        await asyncio.sleep(PACE.sweep)
        counts = registry._counts
        assert (counts.channels, counts.subscribers_live, counts.subscribers_behind, counts.lag_events) == (1, 1, 1, 2)


@in_virtual_time
async def test_a_plan_is_counted_until_its_watch_of_the_log_ends_and_no_longer() -> None:
    """docs/OPERATIONS.md, plancast_channels: for 3 to 4 seconds after the last subscriber has left."""
    log = ScriptedLog()
    async with running(log) as registry:
        visitor = join(registry, log)
        await asyncio.sleep(PACE.sweep + 0.5)
        assert registry._counts.channels == 1
        visitor.leave()
        registry.left(visitor.channel)
        await asyncio.sleep(PACE.linger - 0.1)
        assert (registry._counts.channels, len(log.watches)) == (1, 1)
        await asyncio.sleep(PACE.sweep + 0.2)
        assert (registry._counts.channels, len(log.watches)) == (0, 0)


def test_churn_leaves_nothing_behind() -> None:
    """Subscribers and channels that are gone can be collected: nothing holds a reference to them."""
    seen: weakref.WeakSet[Witness | Channel] = weakref.WeakSet()

    @in_virtual_time
    async def churn() -> None:
        log = ScriptedLog()
        sinces: list[Since | None] = [None, "start", "snapshot"]
        async with running(log) as registry:
            for number in range(200):
                witness = join(registry, log, f"p{number % 7}", sinces[number % 3])
                seen.update((witness.channel, witness))  # a reference to a subscriber is one to its client
                log.tell(part(number), plan_id=f"p{number % 7}")
                await turns(number % 9)
                witness.leave()
                assert witness in seen
                if number % 40 == 39:
                    await asyncio.sleep(PACE.linger + 2 * PACE.sweep)

    churn()
    gc.collect()
    assert list(seen) == []
