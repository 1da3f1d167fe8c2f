"""Leaving a channel while something is being read or delivered."""

from __future__ import annotations

import gc
import weakref

import pytest

from broadcasters.position import Position
from hub.config.limits import ChannelLimits
from hub.core.channel import Channel
from hub.core.counts import HubCounts
from hub.core.subscriber import Since, Standing
from tests.hub.core.scripted_log import ScriptedLog, part
from tests.hub.core.test_channel import joined, nothing_failed, opened
from tests.hub.core.virtual_time import in_virtual_time, turns
from tests.hub.core.witness import Witness

__all__ = ["nothing_failed"]


@in_virtual_time
async def test_nothing_is_delivered_after_leaving_whatever_is_running() -> None:
    log = ScriptedLog()
    channel = await opened(log, said=20)
    log.hanging = True
    sinces: list[Since | None] = [None, "start", "snapshot", Position("e1", 3), Position("e1", 30), Position("x", 1)]
    witnesses = [await joined(channel, log, since) for since in sinces]
    log.say(part(21))
    log.tell_all()
    for witness in witnesses:
        witness.leave()
    told = [list(witness.told) for witness in witnesses]
    log.release()
    log.hanging = False
    await turns(60)
    assert [witness.told for witness in witnesses] == told
    assert channel.subscribers == set()
    assert channel._reader.tasks == set()
    await channel.close()


@in_virtual_time
async def test_a_client_that_leaves_when_placed_gets_no_snapshot() -> None:
    log = ScriptedLog()
    channel = await opened(log, said=3)
    witness = Witness(log.story(), "snapshot")
    witness.on_placed = witness.leave
    witness.join(channel)
    await turns()
    assert [told[0] for told in witness.told] == ["placed"]
    await channel.close()


@in_virtual_time
async def test_a_client_that_leaves_during_the_flush_before_it_is_not_placed() -> None:
    log = ScriptedLog()
    channel = await opened(log, said=1)
    live, joining = await joined(channel, log), Witness(log.story(), "now")
    live.on_event = joining.leave
    log.tell(part(2))
    joining.join(channel)
    assert live.frames == [(2, 2)]
    assert joining.told == []
    assert joining.subscriber.standing is Standing.GONE
    await channel.close()


@in_virtual_time
async def test_a_subscriber_that_waits_to_be_placed_has_no_position() -> None:
    log = ScriptedLog()
    channel = await opened(log, said=5)
    witness = await joined(channel, log)
    assert channel.position_of(witness.subscriber) == Position("e1", 5)
    log.hanging = True
    log.story().fork(3)
    log.say(part(40), part(50))
    log.tell_all()
    await turns()
    log.release(1)
    await turns()
    assert channel.position_of(witness.subscriber) is None, "never a position of the old lineage in the new epoch"
    witness.fill()
    log.hanging = False
    log.release()
    await turns()
    assert channel.position_of(witness.subscriber) is None
    witness.drain()
    await turns()
    assert channel.position_of(witness.subscriber) == Position("e2", 5)
    await channel.close()


@pytest.mark.parametrize("begun", [True, False])
@in_virtual_time
async def test_a_closed_channel_is_freed_without_the_garbage_collector(begun: bool) -> None:
    """And with it its ring, which may be large."""
    log = ScriptedLog()
    log.hanging = not begun
    channel = Channel("p", log, ChannelLimits(), HubCounts(), lambda: None, lambda _: None)
    witness = await joined(channel, log, "start")
    witness.leave()
    gc.disable()
    try:
        await channel.close()
        kept = weakref.ref(channel)
        del channel, witness.channel
        await turns()
        assert kept() is None
    finally:
        gc.enable()
