"""C-SUB-9: a subscriber that knows no positions gets streamed messages whole, at whatever position it is. The witness
checks each frame against the log's real content."""

from __future__ import annotations

import asyncio

import pytest

from hub.core.burst import Burst
from hub.core.channel import Channel
from hub.core.subscriber import Since, Standing
from tests.hub.core.scripted_log import ScriptedLog, Story, part, step, update
from tests.hub.core.test_channel import SMALL, joined, nothing_failed, opened, standing
from tests.hub.core.virtual_time import in_virtual_time, turns
from tests.hub.core.witness import Witness

__all__ = ["nothing_failed"]


def texts(witness: Witness) -> list[str]:
    """The contents of the whole messages it got."""
    whole = [event for what, _, event in (told for told in witness.told if told[0] == "whole")]
    return [event["data"]["content"] for event in whole if event["type"] == "agent_message"]


def kinds(witness: Witness) -> list[str]:
    return [told[2]["type"] for told in witness.told if told[0] == "whole"]


def composes(channel: Channel) -> bool:
    return channel._whole.composer is not None


def spoken(*numbers: int) -> str:
    return "".join(f"{number}é " for number in numbers)


async def told(log: ScriptedLog, *payloads: bytes) -> None:
    for payload in payloads:
        log.tell(payload)
        await turns()


@in_virtual_time
async def test_a_streamed_message_is_whole_for_it_and_in_parts_for_others() -> None:
    log = ScriptedLog()
    channel = await opened(log, said=3)
    old, new = await joined(channel, log, None), await joined(channel, log, "now")
    await told(log, step(4), part(5, "a"), step(6), part(7, "a"), part(8, "a", final=True), step(9))
    assert kinds(old) == ["step_update", "step_update", "agent_message", "step_update"]
    assert texts(old) == [spoken(5, 7, 8)]
    assert new.frames == [(number, number) for number in range(4, 10)]
    await channel.close()


@in_virtual_time
async def test_a_message_that_began_before_it_joined_comes_whole() -> None:
    log = ScriptedLog()
    channel = await opened(log, said=9)
    log.story().append([step(10)])
    log.drop_all()
    first = await joined(channel, log, None)
    assert first.told == [("placed", first.place, 10, None)]
    await told(log, part(11))
    second = await joined(channel, log, None)
    asked = len(log.asked)
    third = await joined(channel, log, None)
    assert len(log.asked) == asked  # by now it is known what is withheld
    await told(log, part(12, final=True))
    for witness in (first, second, third):
        assert texts(witness) == [spoken(*range(1, 10), 11, 12)]
    await channel.close()


@in_virtual_time
async def test_two_concurrent_messages_come_whole_when_each_is_complete() -> None:
    log = ScriptedLog()
    channel = await opened(log)
    witness = await joined(channel, log, None)
    await told(log, part(1, "a"), part(2, "b"), part(3, "a"), part(4, "b", final=True), part(5, "a", final=True))
    assert texts(witness) == [spoken(2, 4), spoken(1, 3, 5)]
    await channel.close()


@in_virtual_time
async def test_unfinished_messages_come_when_the_plan_ends() -> None:
    log = ScriptedLog()
    channel = await opened(log)
    witness = await joined(channel, log, None)
    await told(log, part(1, "a"), part(2, "b"), update(3, status="completed", step_id="s"), update(4, status="error"))
    assert kinds(witness) == ["plan_update", "agent_message", "agent_message", "plan_update"]
    assert texts(witness) == [spoken(1), spoken(2)]
    await channel.close()


@in_virtual_time
@pytest.mark.parametrize("count", [3, 40])  # the missing events are in the ring, or only in the log
async def test_a_client_that_lags_within_messages_gets_the_same(count: int) -> None:
    log = ScriptedLog()
    channel = await opened(log)
    steady, lagging = await joined(channel, log, None), await joined(channel, log, None, room=1)
    await told(log, part(1, "a"), part(2, "b"), step(3))
    assert lagging.full
    for number in range(4, 4 + count):
        await told(log, part(number, "ab"[number % 2]))
    assert standing(lagging)[0] is Standing.BEHIND
    for round_ in range(3):  # it drains a little and fills again while more events are appended
        lagging.drain(room=1)
        await told(log, part(100 + round_, "b"), step(200 + round_), part(300 + round_, f"c{round_}", final=True))
    lagging.drain()
    await told(log, part(400, "a", final=True), part(401, "b", final=True), step(402))
    await turns(200)
    assert texts(lagging) == texts(steady)
    assert [event for event in lagging.told if event[0] == "whole"] == [t for t in steady.told if t[0] == "whole"]
    assert standing(lagging)[0] is Standing.LIVE
    await channel.close()


@in_virtual_time
async def test_a_restart_within_a_message_changes_nothing() -> None:
    log = ScriptedLog()
    channel = await opened(log)
    witness = await joined(channel, log, None)
    await told(log, part(1))
    log.story().restart()
    await told(log, part(2), part(3, final=True))
    assert texts(witness) == [spoken(1, 2, 3)]
    await channel.close()


@in_virtual_time
async def test_a_break_after_its_position_changes_nothing_for_it() -> None:
    log = ScriptedLog()
    channel = await opened(log)
    here, lagging = await joined(channel, log, None), await joined(channel, log, None, room=1)
    await told(log, part(1), step(2), step(3), part(4))
    log.story().fork(2)
    await told(log, part(3), part(4, final=True))
    assert here.told[-1][0] == "whole"
    assert [told[0] for told in here.told].count("snapshot") == 1  # it received events that are gone
    lagging.drain()
    await turns(100)
    assert [told[0] for told in lagging.told].count("snapshot") == 0
    assert texts(here)[-1:] == texts(lagging)[-1:] == [spoken(1, 3, 4)]
    await channel.close()


@in_virtual_time
async def test_a_deleted_plan_ends_without_what_was_withheld() -> None:
    log = ScriptedLog()
    channel = await opened(log)
    witness = await joined(channel, log, None)
    await told(log, part(1))
    log.forget()
    log.tell_all()
    await turns()
    assert texts(witness) == []
    assert witness.told[-1][0] == "ended"
    assert not composes(channel)
    again = await joined(channel, log, None)
    await told(log, part(1), part(2, final=True))
    assert texts(again) == [spoken(1, 2)]
    await channel.close()


@in_virtual_time
async def test_nothing_is_composed_without_members() -> None:
    log = ScriptedLog()
    channel = await opened(log)
    ordinary = await joined(channel, log, "now")
    assert not composes(channel)
    old = await joined(channel, log, None)
    assert composes(channel)
    await told(log, part(1))
    old.leave()
    assert not composes(channel)
    await told(log, part(2, final=True))
    assert ordinary.frames == [(1, 1), (2, 2)]
    await channel.close()


class _Keeping(Witness):
    def __init__(self, story: Story, since: Since | None) -> None:
        super().__init__(story, since)
        self.bursts: list[Burst] = []

    def deliver(self, burst: Burst) -> None:
        self.bursts.append(burst)
        super().deliver(burst)


@in_virtual_time
async def test_all_members_get_the_same_bytes_and_other_events_are_not_encoded_twice() -> None:
    log = ScriptedLog()
    channel = await opened(log)
    old, other, new = [_Keeping(log.story(), since) for since in (None, None, "now")]
    for witness in (old, other, new):
        witness.join(channel)
    await turns()
    await told(log, step(1), part(2), part(3, final=True))
    assert old.bursts[0] is other.bursts[0] is new.bursts[0]
    assert [one is another for one, another in zip(old.bursts, other.bursts, strict=True)] == [True, True]
    assert [(burst.first, burst.last) for burst in new.bursts] == [(1, 1), (2, 2), (3, 3)]
    await channel.close()


@in_virtual_time
async def test_while_the_log_is_down_it_is_placed_at_the_head() -> None:
    """An old front end subscribes once, and does not retry after an error."""
    log = ScriptedLog()
    channel = await opened(log, said=3)
    log.down = True
    witness = await joined(channel, log, None)
    witness.exact = False
    assert witness.told == []
    await asyncio.sleep(SMALL.fold_patience + 0.1)
    assert witness.told == [("placed", witness.place, 3, None)]
    await told(log, part(4, final=True))
    assert texts(witness) == [spoken(4)]
    await channel.close()


@in_virtual_time
async def test_a_message_that_began_after_the_end_of_its_plan_comes_whole_to_a_new_client() -> None:
    log = ScriptedLog()
    log.story().append([part(1, "a"), update(2, status="completed"), part(3, "b"), part(4, "b")])
    channel = await opened(log)
    witness = await joined(channel, log, None)
    await told(log, part(5, "b", final=True))
    assert texts(witness) == [spoken(3, 4, 5)]
    await channel.close()


@in_virtual_time
async def test_events_trimmed_while_it_joins_are_not_read_repeatedly() -> None:
    log = ScriptedLog()
    channel = await opened(log, said=3)
    log.slowness = 5
    log.looks_late = True
    witness = Witness(log.story(), None)
    witness.join(channel)
    while log.count("read") < 2:  # the fold's read, and that of the withheld parts
        await turns(1)
    log.story().append([part(4), step(5)])
    log.story().trim(0)
    await turns(100)
    assert log.count("read") < 5
    assert standing(witness) == (Standing.LIVE, 3)
    await told(log, step(6))
    await turns(100)
    assert witness.told[-1] == ("snapshot", witness.place)
    await told(log, part(7), part(8, final=True))
    await turns(100)
    assert texts(witness) == [spoken(7, 8)]
    await channel.close()


@in_virtual_time
async def test_joining_an_empty_plan_needs_no_read() -> None:
    log = ScriptedLog()
    channel = await opened(log)
    witness = Witness(log.story(), None)
    witness.join(channel)
    assert witness.told == [("placed", witness.place, 0, None)]
    await turns()
    assert log.asked == []
    await channel.close()


@in_virtual_time
async def test_many_joins_at_once_read_once() -> None:
    log = ScriptedLog()
    channel = await opened(log, said=3)
    witnesses = [Witness(log.story(), None) for _ in range(20)]
    for witness in witnesses:
        witness.join(channel)
    await turns(60)
    assert log.count("checkpoint") == 1
    assert log.count("read") <= 2
    await told(log, part(4, final=True))
    assert {tuple(texts(witness)) for witness in witnesses} == {(spoken(1, 2, 3, 4),)}
    await _closed(channel)


async def _closed(channel: Channel) -> None:
    await channel.close()
    assert not channel._reader.tasks
