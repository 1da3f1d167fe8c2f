"""A channel and its subscribers: placing, delivery, lagging, resuming, and errors in all of them."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator
from dataclasses import replace

import pytest

from broadcasters.log.contract import Checkpoint, Head
from broadcasters.position import Position
from hub.config.limits import ChannelLimits
from hub.core.burst import Burst
from hub.core.channel import Channel
from hub.core.counts import HubCounts
from hub.core.subscriber import Since, Standing
from tests.hub.core.scripted_log import ScriptedLog, part, step
from tests.hub.core.virtual_time import in_virtual_time, turns
from tests.hub.core.witness import Witness

SMALL = ChannelLimits(ring_bytes=10_000, ring_events=4, burst_bytes=1_000, merge_after=6, snapshot_after=12)


@pytest.fixture(autouse=True)
def nothing_failed(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Fail the test if a witness raised inside the channel."""
    yield
    assert [record.getMessage() for record in caplog.get_records("call") if record.levelno >= logging.ERROR] == []


async def opened(log: ScriptedLog, said: int = 0, policy: ChannelLimits = SMALL) -> Channel:
    """An open channel of a plan with this many events."""
    if said:
        log.story().append([part(number) for number in range(1, said + 1)])
    channel = Channel("p", log, policy, HubCounts(), lambda: None, lambda _: None)
    await turns()
    assert channel.open
    log.asked.clear()
    return channel


async def joined(channel: Channel, log: ScriptedLog, since: Since | None = "now", room: int = 1_000) -> Witness:
    witness = Witness(log.story(), since, room)
    witness.join(channel)
    await turns()
    return witness


class Broken(Witness):
    """A client that raises."""

    def deliver(self, burst: Burst) -> None:
        raise RuntimeError(f"the handler is closed: {burst.first}")


class Trusting(Witness):
    """Records only the first and the last offset of each burst."""

    def deliver(self, burst: Burst) -> None:
        told = [json.loads(frame) for frame in burst.frames]
        self.got = [*getattr(self, "got", []), *((one.get("first"), one["offset"]) for one in told)]


def standing(witness: Witness) -> tuple[Standing, int]:
    assert witness.place is not None
    return witness.subscriber.standing, witness.place.offset


# --- placing


@in_virtual_time
async def test_each_kind_of_since_is_placed() -> None:
    log = ScriptedLog()
    channel = await opened(log, said=3)
    now, told_now, start = [await joined(channel, log, since) for since in (None, "now", "start")]
    after = await joined(channel, log, Position("e1", 2))
    snapshot = await joined(channel, log, "snapshot")
    assert now.told == told_now.told == [("placed", Position("e1", 3), 3, None)]
    assert start.told[0] == ("placed", Position("e1", 0), 3, None)
    assert start.frames == [(1, 1), (2, 2), (3, 3)]
    assert after.told[0] == ("placed", Position("e1", 2), 3, None)
    assert after.frames == [(3, 3)]
    assert snapshot.told == [("placed", Position("e1", 3), 3, None), ("snapshot", Position("e1", 3))]
    for witness in (now, told_now, start, after, snapshot):
        assert standing(witness) == (Standing.LIVE, 3)
    await channel.close()


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        (Position("e1", 3), None),
        (Position("e1", 5), "forked"),
        (Position("e2", 6), "ahead"),
        (Position("foreign", 1), "epoch"),
        (Position("e1", 1), "trimmed"),
        (Position("", 0), "trimmed"),
    ],
)
def test_a_position_that_can_not_be_resumed_gets_a_snapshot_with_the_reason(
    place: Position, reason: str | None
) -> None:
    @in_virtual_time
    async def story() -> None:
        log = ScriptedLog()
        log.story().append([part(number) for number in range(1, 6)])
        log.story().trim(window=3)
        log.story().checkpoint = None
        log.story().floor = 2
        log.story().fork(4)
        log.story().append([part(50)])
        log.story().trim(window=3)
        channel = await opened(log)
        witness = await joined(channel, log, place)
        assert witness.told[0] == ("placed", Position("e2", place.offset if reason is None else 5), 5, reason)
        assert ("snapshot", Position("e2", 5)) in witness.told or reason is None
        assert standing(witness) == (Standing.LIVE, 5)
        await channel.close()

    story()


@in_virtual_time
async def test_who_joins_before_the_channel_is_open_is_placed_when_it_is() -> None:
    log = ScriptedLog()
    log.slowness = 5
    channel = Channel("p", log, SMALL, HubCounts(), lambda: None, lambda _: None)
    witness = Witness(log.story(), "start")
    witness.join(channel)
    log.tell(part(1))
    assert witness.told == []
    await turns(60)
    assert standing(witness) == (Standing.LIVE, 1)
    await channel.close()


@in_virtual_time
async def test_a_position_that_the_channel_does_not_know_yet_is_accepted() -> None:
    log = ScriptedLog()
    channel = await opened(log, said=3)
    live = await joined(channel, log)
    log.say(part(4), part(5))
    log.drop_all()
    witness = await joined(channel, log, Position("e1", 5))
    assert witness.told == [("placed", Position("e1", 5), 5, None)]
    assert standing(live) == standing(witness) == (Standing.LIVE, 5)
    await channel.close()


@in_virtual_time
async def test_a_position_in_a_lineage_that_the_channel_does_not_know_yet_is_not_served_from_the_old_one() -> None:
    log = ScriptedLog()
    channel = await opened(log, said=10)
    live = await joined(channel, log)
    log.story().fork(7)
    log.say(part(80), part(90))
    log.drop_all()
    witness = await joined(channel, log, Position("e2", 8))
    assert witness.told == [("placed", Position("e2", 8), 9, None), ("events", 9, 9)]
    assert live.told[-2:] == [("placed", Position("e2", 9), 9, "forked"), ("snapshot", Position("e2", 9))]
    await channel.close()


# --- delivery


@in_virtual_time
async def test_all_live_subscribers_get_the_same_bytes_once_a_turn() -> None:
    log = ScriptedLog()
    channel = await opened(log)
    got: list[Burst] = []
    witnesses = [await joined(channel, log) for _ in range(3)]
    for witness in witnesses:
        channel._live[witness.subscriber] = got.append
    log.tell(part(1))
    await turns()
    got.clear()
    log.tell(part(2), part(3))
    log.tell(part(4))
    assert got == []
    await turns()
    assert [(burst.first, burst.last) for burst in got] == [(2, 4)] * 3
    assert len({id(burst.websocket) for burst in got}) == 1
    assert channel._counts.deliveries == 3 * 4
    await channel.close()


@in_virtual_time
async def test_a_full_client_stays_at_its_position_and_continues_from_there() -> None:
    log = ScriptedLog()
    channel = await opened(log)
    slow, quick = await joined(channel, log, room=1), await joined(channel, log)
    for number in range(1, 4):
        log.tell(part(number))
        await turns()
    assert standing(slow) == (Standing.BEHIND, 1)
    assert standing(quick) == (Standing.LIVE, 3)
    log.asked.clear()
    slow.drain()
    assert standing(slow) == (Standing.LIVE, 3)
    assert log.asked == [], "the ring holds all of it"
    await channel.close()


@in_virtual_time
async def test_a_client_that_drains_during_a_delivery_gets_nothing_twice() -> None:
    log = ScriptedLog()
    channel = await opened(log, policy=replace(SMALL, burst_bytes=100))
    quick = await joined(channel, log, "now", room=1)
    quick.on_full = lambda: quick.drain(room=1)
    for number in range(1, 4):
        log.tell(step(number))
    await turns()
    quick.fill()
    for number in range(4, 8):
        log.tell(step(number))
    await turns()
    quick.drain(room=1)
    await turns()
    assert quick.frames == [(number, number) for number in range(1, 8)]
    assert standing(quick) == (Standing.LIVE, 7)
    await channel.close()


@in_virtual_time
async def test_events_beyond_the_ring_are_read_once_for_all_that_lag_together() -> None:
    log = ScriptedLog()
    channel = await opened(log)
    slow = [await joined(channel, log, "now", room=1) for _ in range(5)]
    for number in range(1, 8):
        log.tell(step(number))
        await turns()
    log.asked.clear()
    for witness in slow:
        witness.drain()
    await turns(60)
    for witness in slow:
        assert standing(witness) == (Standing.LIVE, 7)
        assert witness.frames == [(number, number) for number in range(1, 8)]
    reads = log.asked
    assert len(reads) == len(set(reads)), "each page is read once"
    await channel.close()


@in_virtual_time
async def test_far_behind_gets_merged_text_and_further_behind_a_snapshot() -> None:
    log = ScriptedLog()
    channel = await opened(log, said=10)
    far = await joined(channel, log, Position("e1", 1))
    further = await joined(channel, log, Position("e1", 0))
    log.say(*[part(number) for number in range(11, 20)])
    log.tell_all()
    furthest = await joined(channel, log, "start")
    assert far.frames[0] == (2, 10)
    assert further.frames[0][0] == 1
    assert ("snapshot", Position("e1", 19)) in furthest.told
    assert furthest.told[0] == ("placed", Position("e1", 0), 19, None)
    await channel.close()


@in_virtual_time
async def test_a_subscriber_that_requested_every_event_gets_each_as_a_frame_of_its_own() -> None:
    log = ScriptedLog()
    channel = await opened(log, said=19)
    witness = await joined(channel, log, "events")
    assert witness.frames == [(number, number) for number in range(1, 20)]
    assert standing(witness) == (Standing.LIVE, 19)
    await channel.close()


@in_virtual_time
async def test_a_subscriber_whose_events_were_trimmed_gets_a_snapshot_with_the_reason() -> None:
    log = ScriptedLog()
    channel = await opened(log)
    witness = await joined(channel, log, "now", room=1)
    for number in range(1, 10):
        log.tell(part(number))
        await turns()
    log.story().trim(window=2)
    witness.drain()
    await turns(60)
    assert witness.told[-2:] == [("placed", Position("e1", 9), 9, "trimmed"), ("snapshot", Position("e1", 9))]
    assert standing(witness) == (Standing.LIVE, 9)
    await channel.close()


@in_virtual_time
async def test_a_page_for_a_client_that_is_full_meanwhile_waits() -> None:
    log = ScriptedLog()
    channel = await opened(log, said=10)
    witness = Witness(log.story(), Position("e1", 2))
    witness.join(channel)
    witness.fill()
    await turns()
    assert witness.frames == [], "a full client gets nothing"
    log.asked.clear()
    witness.drain()
    await turns()
    assert standing(witness) == (Standing.LIVE, 10)
    assert log.count("read", "p", 2) == 0, "the page was kept"
    await channel.close()


@in_virtual_time
async def test_a_snapshot_from_which_the_ring_continues_is_folded_once() -> None:
    log = ScriptedLog()
    channel = await opened(log, said=3)
    first, second = await joined(channel, log, "snapshot"), await joined(channel, log, "snapshot")
    log.tell(part(4))
    third = await joined(channel, log, "snapshot")
    assert standing(first) == standing(second) == standing(third) == (Standing.LIVE, 4)
    assert log.count("checkpoint") == 1
    await channel.close()


@in_virtual_time
async def test_a_full_client_gets_its_snapshot_when_it_drains() -> None:
    log = ScriptedLog()
    channel = await opened(log, said=3)
    before, meanwhile = Witness(log.story(), "snapshot"), Witness(log.story(), "snapshot")
    before.full = True
    before.join(channel)
    meanwhile.join(channel)
    meanwhile.fill()
    await asyncio.sleep(60)
    channel.refuse_waiting()
    assert before.told == meanwhile.told == [], "a snapshot is large, so it waits for the client, not for the log"
    before.drain()
    meanwhile.drain()
    await turns()
    assert standing(before) == standing(meanwhile) == (Standing.LIVE, 3)
    await channel.close()


# --- breaks


@in_virtual_time
async def test_after_a_fork_those_ahead_get_a_snapshot_and_those_before_it_continue() -> None:
    log = ScriptedLog()
    channel = await opened(log)
    less, more = await joined(channel, log, "now", room=1), await joined(channel, log)
    for number in range(1, 6):
        log.tell(step(number))
        await turns()
    log.story().fork(3)
    log.tell(step(40))
    await turns()
    less.drain()
    await turns()
    assert less.frames == [(1, 1), (2, 2), (3, 3), (4, 4)]
    assert [told[0] for told in less.told].count("placed") == 1
    assert more.told[-2:] == [("placed", Position("e2", 4), 4, "forked"), ("snapshot", Position("e2", 4))]
    await channel.close()


@in_virtual_time
async def test_a_page_of_an_unknown_lineage_is_not_handed_out_as_the_old_one() -> None:
    log = ScriptedLog()
    channel = await opened(log)
    witness = await joined(channel, log, "now", room=1)
    for number in range(1, 11):
        log.tell(step(number))
        await turns()
    log.story().fork(7)
    log.say(step(80), step(90))
    log.drop_all()
    witness.drain()
    await turns(60)
    assert standing(witness) == (Standing.LIVE, 9)
    assert witness.place == Position("e2", 9)
    await channel.close()


@in_virtual_time
async def test_a_snapshot_of_an_unknown_lineage_is_not_followed_by_events_of_the_old_one() -> None:
    log = ScriptedLog()
    channel = await opened(log, said=10)
    log.story().fork(7)
    log.say(part(80))
    log.drop_all()
    witness = await joined(channel, log, "snapshot")
    await turns(60)
    assert witness.told == [("placed", Position("e2", 8), 8, None), ("snapshot", Position("e2", 8))]
    log.tell(part(90))
    await turns()
    assert standing(witness) == (Standing.LIVE, 9)
    await channel.close()


@in_virtual_time
async def test_an_empty_page_where_events_should_be_ends_in_an_answer_and_not_in_a_loop() -> None:
    log = ScriptedLog()
    channel = await opened(log)
    witness = await joined(channel, log, "now", room=1)
    for number in range(1, 11):
        log.tell(step(number))
        await turns()
    log.story().fork(1)
    log.asked.clear()
    witness.drain()
    await turns(100)
    assert log.count("read") <= 3
    assert standing(witness) == (Standing.LIVE, 1)
    await channel.close()


@in_virtual_time
async def test_a_read_during_a_break_leaves_no_subscriber_behind() -> None:
    log = ScriptedLog()
    channel = await opened(log)
    reading, other = await joined(channel, log, "now", room=1), await joined(channel, log)
    for number in range(1, 11):
        log.tell(step(number))
        await turns()
    log.hanging = True
    reading.drain()
    await turns()
    log.hanging = False
    log.story().fork(8)
    log.tell(step(90))
    await turns(60)
    assert standing(other) == (Standing.LIVE, 9)
    log.release()
    log.tell(step(100))
    await turns()
    assert standing(reading) == (Standing.LIVE, 10)
    await channel.close()


@in_virtual_time
async def test_a_subscriber_that_needs_a_snapshot_does_not_wait_for_a_page() -> None:
    log = ScriptedLog()
    channel = await opened(log)
    reading = await joined(channel, log, "now", room=5)
    for number in range(1, 11):
        log.tell(step(number))
        await turns()
    log.hanging = True
    reading.drain()
    await turns()
    log.hanging, log.looks_late = False, True
    log.story().fork(3)
    log.tell(*[step(number) for number in range(40, 47)])
    await turns(60)
    assert reading.told[-2:] == [("placed", Position("e2", 10), 10, "forked"), ("snapshot", Position("e2", 10))]
    log.release()
    await turns()
    assert standing(reading) == (Standing.LIVE, 10)
    await channel.close()


@in_virtual_time
async def test_a_new_epoch_of_the_same_lineage_changes_nothing_and_no_frame_of_the_old_epoch_follows() -> None:
    log = ScriptedLog()
    channel = await opened(log)
    live, slow = await joined(channel, log), await joined(channel, log, room=1)
    for number in range(1, 4):
        log.tell(part(number))
        await turns()
    log.story().restart()
    log.tell(part(4))
    await turns()
    later = await joined(channel, log, Position("e1", 1))
    slow.drain()
    await turns()
    for witness in (live, slow, later):
        assert standing(witness) == (Standing.LIVE, 4)
        assert [told[0] for told in witness.told].count("placed") == 1
    assert later.told[0] == ("placed", Position("e2", 1), 4, None)
    await channel.close()


@in_virtual_time
async def test_events_taken_in_the_turn_in_which_an_epoch_began_are_handed_out() -> None:
    log = ScriptedLog()
    channel = await opened(log, said=3)
    live = await joined(channel, log)
    log.tell(part(4))
    channel.epoch_began()
    assert live.frames == [(4, 4)]
    await channel.close()


@in_virtual_time
async def test_a_deleted_plan_ends_for_all_subscribers_and_may_begin_again() -> None:
    log = ScriptedLog()
    channel = await opened(log, said=3)
    witness = await joined(channel, log)
    again = Witness(log.story(), "start")
    witness.on_gone = lambda: again.join(channel)
    log.forget()
    log.tell_all()
    assert witness.told[-1] == ("ended", 2404)
    assert again.told == [("placed", Position("", 0), 0, None)]
    log.tell(part(1))
    await turns()
    assert again.place == Position("e2", 1)
    await channel.close()


@in_virtual_time
async def test_a_plan_that_vanished_unreported_is_found_by_comparing_heads() -> None:
    log = ScriptedLog()
    channel = await opened(log, said=3)
    witness = await joined(channel, log)
    log.story().vanish()
    channel.compare(log.story().head, known=3)
    await turns()
    assert witness.told[-2:] == [("placed", Position("", 0), 0, "epoch"), ("snapshot", Position("", 0))]
    await channel.close()


# --- failures


@in_virtual_time
async def test_a_subscriber_that_waits_too_long_for_the_log_is_refused_and_others_are_not() -> None:
    log = ScriptedLog()
    log.down = True
    channel = Channel("p", log, SMALL, HubCounts(), lambda: None, lambda _: None)
    early = Witness(log.story(), "start")
    early.join(channel)
    await asyncio.sleep(4)
    late = Witness(log.story(), "start")
    late.join(channel)
    channel.refuse_waiting()
    assert early.here
    await asyncio.sleep(2)
    channel.refuse_waiting()
    assert (early.told, late.told) == ([("refused",)], [])
    log.down = False
    await asyncio.sleep(3)
    assert late.told == [("placed", Position("", 0), 0, None)]
    await channel.close()


@in_virtual_time
async def test_a_live_subscriber_is_refused_after_a_break_if_the_log_is_down() -> None:
    log = ScriptedLog()
    channel = await opened(log, said=3)
    witness = await joined(channel, log)
    log.story().vanish()
    log.hanging = True
    channel.compare(Head(), known=3)
    await turns()
    log.release(1)
    await turns()
    await asyncio.sleep(6)
    channel.refuse_waiting()
    assert witness.told[-1] == ("refused",)
    await channel.close()


@in_virtual_time
async def test_an_unreadable_snapshot_is_a_refusal_that_says_why() -> None:
    log = ScriptedLog()
    channel = await opened(log, said=3)
    log.story().floor = 2
    log.story().checkpoint = Checkpoint(Position("e1", 2), b'{"version":99}')
    witness = Witness(log.story(), "snapshot")
    witness.join(channel)
    await turns(100)
    assert witness.told == [("refused",)]
    assert "99" in witness.refusal
    assert channel.subscribers == set()
    await channel.close()


@in_virtual_time
async def test_a_client_that_raises_affects_no_other(caplog: pytest.LogCaptureFixture) -> None:
    log = ScriptedLog()
    channel = await opened(log)
    before, broken, after = Witness(log.story(), "now"), Broken(log.story(), "now"), Witness(log.story(), "now")
    for witness in (before, broken, after):
        witness.join(channel)
    log.tell(part(1))
    await turns()
    assert before.frames == after.frames == [(1, 1)]
    assert broken.told[-1] == ("refused",)
    assert "the handler is closed" in caplog.text
    waiting, breaking = Witness(log.story(), "start"), Broken(log.story(), "start")
    breaking.full = waiting.full = True
    breaking.join(channel)
    waiting.join(channel)
    breaking.full = waiting.full = False
    channel.caught_up()
    assert standing(waiting) == (Standing.LIVE, 1)
    caplog.clear()
    await channel.close()


@in_virtual_time
async def test_an_invalid_event_stops_no_subscriber() -> None:
    log = ScriptedLog()
    log.story().append([b'{"type":"agent_message","id":"x","append":true}', *[part(n) for n in range(2, 11)]])
    channel = await opened(log)
    witness = Trusting(log.story(), "start")
    witness.join(channel)
    await turns()
    assert witness.got == [(None, 1), (2, 10)]
    await channel.close()


@in_virtual_time
async def test_a_closed_channel_has_no_task_and_no_watch_and_starts_none() -> None:
    log = ScriptedLog()
    channel = await opened(log, said=20)
    log.hanging = True
    behind, joining = await joined(channel, log, Position("e1", 3)), await joined(channel, log, "snapshot")
    await channel.close()
    behind.drain()
    channel.start(joining.subscriber)
    assert log.watches == []
    assert asyncio.all_tasks() == {asyncio.current_task()}


@in_virtual_time
async def test_a_channel_closed_while_the_log_is_down_stops_retrying() -> None:
    log = ScriptedLog()
    channel = await opened(log, said=20)
    log.down = True
    await joined(channel, log, Position("e1", 3))
    await joined(channel, log, "snapshot")
    await channel.close()
    assert asyncio.all_tasks() == {asyncio.current_task()}


@in_virtual_time
async def test_a_subscriber_started_twice_is_placed_once() -> None:
    log = ScriptedLog()
    channel = await opened(log, said=3)
    witness = Witness(log.story(), "start")
    witness.join(channel)
    channel.start(witness.subscriber)
    snapshot = Witness(log.story(), "snapshot")
    snapshot.join(channel)
    channel.start(snapshot.subscriber)
    await turns()
    channel.start(witness.subscriber)
    channel.start(snapshot.subscriber)
    await turns()
    assert [told[0] for told in witness.told] == ["placed", "events", "events", "events"]
    assert [told[0] for told in snapshot.told] == ["placed", "snapshot"]
    await channel.close()


def test_the_default_limits_let_the_ring_continue_from_a_snapshot() -> None:
    policy = ChannelLimits()
    assert policy.merge_after < policy.ring_events < policy.snapshot_after
    assert replace(policy, ring_events=1) != policy
