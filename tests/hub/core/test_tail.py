"""How a tail follows a log: retries, early arrivals, holes, forks, deletion."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broadcasters.errors import LogFull, LogUnavailable, SnapshotUnreadable
from broadcasters.log.contract import Head
from broadcasters.position import Lineage, Position
from hub.core.counts import HubCounts
from hub.core.tail import LONGEST_PAUSE, Arrival, ChannelTail, EarlyArrivals, LogRetry
from tests.hub.core.scripted_log import ScriptedLog, part
from tests.hub.core.virtual_time import in_virtual_time, turns


class Diary:
    """A follower that records its calls."""

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.payloads: list[bytes] = []

    def opened(self) -> None:
        self.told.append("opened")

    def taken(self, payloads: Sequence[bytes]) -> None:
        self.payloads += payloads
        self.told.append(len(payloads))

    def epoch_began(self) -> None:
        self.told.append("epoch")

    def broke(self, lineage: Lineage) -> None:
        self.told.append(("broke", lineage.epoch))

    def deleted(self) -> None:
        self.told.append("deleted")

    def caught_up(self) -> None:
        self.told.append("caught up")

    def failed(self) -> None:
        self.told.append("failed")


def following(log: ScriptedLog, early_bytes: int = 10_000) -> tuple[ChannelTail, Diary]:
    diary, counts = Diary(), HubCounts()
    return ChannelTail(
        "p", log, diary, counts, LogRetry("p", counts), lambda: diary.told.append("compare"), early_bytes
    ), diary


async def opened(log: ScriptedLog, said: int = 0) -> tuple[ChannelTail, Diary]:
    if said:
        log.story().append([part(number) for number in range(1, said + 1)])
    tail, diary = following(log)
    await turns()
    assert diary.told == ["opened"]
    diary.told.clear()
    log.asked.clear()
    return tail, diary


def known(tail: ChannelTail) -> Head:
    return Head(tail.lineage, tail.head, tail.floor)


@in_virtual_time
async def test_it_watches_before_it_reads_the_head() -> None:
    log = ScriptedLog()
    log.story().append([part(1), part(2)])
    tail, diary = following(log)
    await turns()
    assert log.asked == [("watch", "p"), ("heads", "p")]
    assert (tail.open, diary.told, known(tail)) == (True, ["opened"], log.story().head)
    await tail.close()


@in_virtual_time
async def test_events_appended_while_it_opens_are_taken_without_another_read() -> None:
    log = ScriptedLog()
    log.story().append([part(1)])
    log.slowness = 5
    tail, diary = following(log)
    await turns(8)
    assert log.count("heads") == 1
    log.tell(part(2))
    log.tell(part(3))
    assert diary.told == []
    await turns()
    assert diary.told == ["opened", 1, 1]
    assert log.count("read") == 0
    await tail.close()


@in_virtual_time
async def test_new_events_are_taken_and_known_ones_are_not() -> None:
    log = ScriptedLog()
    tail, diary = await opened(log, said=2)
    log.say(part(3), part(4))
    log.watches[0].tell(again=True)
    log.watches[0].tell()
    tail.arrived("e1", 4, [part(4), part(5)])
    assert diary.payloads == [part(3), part(4), part(5)]
    assert diary.told == [2, 1]
    assert log.asked == []
    await tail.close()


@in_virtual_time
async def test_events_missed_while_it_reads_are_read_afterwards() -> None:
    log = ScriptedLog()
    tail, diary = await opened(log, said=2)
    log.say(part(3))
    log.hanging = True
    tail.mend()
    await turns()
    log.hanging = False
    log.say(part(4))
    log.drop_all()
    tail.mend()
    log.release()
    await turns()
    assert diary.told == [1, 1, "caught up"]
    assert tail.head == 4
    await tail.close()


@in_virtual_time
async def test_a_hole_is_read_once_and_arrivals_meanwhile_are_kept() -> None:
    log = ScriptedLog()
    tail, diary = await opened(log, said=2)
    log.say(part(3))
    log.drop_all()
    log.slowness = 5
    log.tell(part(4))
    await turns(2)
    for number in range(5, 10):
        log.tell(part(number))
    await turns()
    assert diary.payloads == [part(number) for number in range(3, 10)]
    assert log.count("read") == 1
    assert tail.head == 9
    await tail.close()


@in_virtual_time
async def test_early_arrivals_are_bounded_and_dropped_ones_are_read() -> None:
    log = ScriptedLog()
    tail, diary = following(log, early_bytes=400)
    await turns()
    log.slowness = 10
    tail.mend()
    await turns(5)
    for number in range(1, 30):
        log.tell(part(number))
        assert tail._early.size <= 400
    assert len(tail._early) < 29
    await turns(60)
    assert diary.payloads == [part(number) for number in range(1, 30)]
    assert log.count("read") == 2
    await tail.close()


@in_virtual_time
async def test_a_long_absence_is_read_page_by_page() -> None:
    log = ScriptedLog()
    tail, diary = await opened(log)
    log.say(*[part(number) for number in range(1, 1_201)])
    log.drop_all()
    tail.mend()
    await turns()
    assert [told for told in diary.told if isinstance(told, int)] == [500, 500, 200]
    assert log.count("read") == 3
    assert diary.told[-1] == "caught up"
    await tail.close()


@in_virtual_time
async def test_an_epoch_reported_during_a_repair_is_not_missed() -> None:
    log = ScriptedLog()
    tail, diary = await opened(log, said=10)
    log.hanging = True
    tail.mend()  # and the read shows the log before it was replaced
    await turns()
    log.story().fork(7)
    log.tell(part(80))
    log.hanging = False
    log.release()
    await turns()
    assert known(tail) == log.story().head
    assert ("broke", "e1") in diary.told
    await tail.close()


@in_virtual_time
async def test_a_new_epoch_of_the_same_lineage_is_no_break() -> None:
    log = ScriptedLog()
    tail, diary = await opened(log, said=2)
    log.story().restart()
    log.tell(part(3))
    await turns()
    assert diary.told == ["epoch", 1, "caught up"]
    assert tail.continuity(Position("e1", 2)) == "ok"
    assert known(tail) == log.story().head
    await tail.close()


@in_virtual_time
async def test_a_late_arrival_of_an_ended_epoch_is_ignored() -> None:
    log = ScriptedLog()
    tail, diary = await opened(log, said=2)
    log.story().restart()
    log.tell(part(3))
    await turns()
    diary.told.clear()
    log.asked.clear()
    tail.arrived("e1", 3, [part(99)])
    await turns()
    assert (diary.told, log.asked) == ([], [])
    await tail.close()


@in_virtual_time
async def test_a_log_that_lost_its_end_is_noticed_before_it_continues() -> None:
    log = ScriptedLog()
    tail, diary = await opened(log, said=5)
    log.story().fork(3)
    tail.compare(log.story().head, known=5)
    await turns()
    assert diary.told == [("broke", "e1"), "caught up"]
    assert known(tail) == log.story().head
    await tail.close()


@in_virtual_time
async def test_after_a_deletion_it_is_before_the_first_event() -> None:
    log = ScriptedLog()
    tail, diary = await opened(log, said=5)
    log.forget()
    log.tell_all()
    assert (diary.told, known(tail)) == (["deleted"], Head())
    log.tell(part(1))
    await turns()
    assert diary.payloads == [part(1)]
    assert known(tail) == log.story().head
    await tail.close()


@in_virtual_time
async def test_a_read_from_before_a_deletion_is_discarded() -> None:
    log = ScriptedLog()
    tail, diary = await opened(log, said=5)
    log.say(part(6), part(7))
    log.drop_all()
    log.hanging = True
    tail.mend()
    await turns()
    log.forget()
    log.tell_all()
    log.hanging = False
    log.release()
    await turns()
    assert diary.payloads == []
    assert known(tail) == Head()
    await tail.close()


@in_virtual_time
async def test_a_deletion_while_it_opens_is_noticed() -> None:
    log = ScriptedLog()
    log.story().append([part(1), part(2)])
    log.slowness = 5
    tail, diary = following(log)
    await turns(8)
    assert log.count("heads") == 1
    log.forget()
    log.tell_all()
    await turns(40)
    assert known(tail) == Head()
    assert diary.told[0] == "deleted"
    await tail.close()


@in_virtual_time
async def test_a_watch_lost_while_it_opens_is_read_again() -> None:
    log = ScriptedLog()
    log.slowness = 5
    tail, diary = following(log)
    await turns(8)
    assert log.count("heads") == 1
    log.watches[0].lose()
    lost = [tail.watch_lost]
    log.say(part(1))
    log.watches[0].resume()
    assert [*lost, tail.watch_lost] == [True, False]
    await turns(40)
    assert diary.payloads == [part(1)]
    await tail.close()


@in_virtual_time
async def test_catching_up_reads_everything_appended_before_it() -> None:
    log = ScriptedLog()
    tail, _ = await opened(log, said=1)
    log.hanging = True
    tail.mend()
    await turns()
    log.say(part(2))
    log.drop_all()
    catching_up = asyncio.create_task(tail.catch_up())
    await turns()
    log.hanging = False
    log.release()
    await catching_up
    assert tail.head == 2
    await tail.close()


@in_virtual_time
async def test_comparing_reads_unreported_events() -> None:
    log = ScriptedLog()
    tail, diary = await opened(log, said=3)
    log.say(part(4))
    log.drop_all()
    tail.compare(log.story().head, known=3)
    await turns()
    assert diary.payloads == [part(4)]
    assert tail._counts.holes == 1
    await tail.close()


@in_virtual_time
async def test_comparing_with_an_old_head_reads_nothing() -> None:
    log = ScriptedLog()
    tail, _ = await opened(log, said=3)
    before = log.story().head
    log.tell(part(4))
    tail.compare(before, known=3)
    await turns()
    assert log.asked == []
    await tail.close()


@in_virtual_time
async def test_comparing_learns_the_floor_but_not_that_of_another_lineage() -> None:
    log = ScriptedLog()
    tail, _ = await opened(log, said=9)
    log.story().trim(window=2)
    old = log.story().head
    tail.compare(old, known=9)
    assert tail.floor == 7
    log.forget()
    log.tell_all()
    tail.compare(old, known=9)
    assert tail.floor == 0
    await tail.close()


@in_virtual_time
async def test_a_closed_tail_has_no_task_and_no_watch_and_starts_none() -> None:
    log = ScriptedLog()
    tail, _ = await opened(log, said=3)
    log.hanging = True
    tail.mend()
    await turns()
    await tail.close()
    tail.deleted()
    tail.mend()
    tail.arrived("e1", 9, [part(9)])
    assert log.watches == []
    assert asyncio.all_tasks() == {asyncio.current_task()}


@in_virtual_time
async def test_a_tail_closed_while_it_opens_leaves_no_watch() -> None:
    log = ScriptedLog()
    log.hanging = True
    tail, diary = following(log)
    await turns()
    await tail.close()
    assert (log.watches, diary.told) == ([], [])
    assert asyncio.all_tasks() == {asyncio.current_task()}


arrivals = st.builds(
    Arrival, st.sampled_from(["a", "b"]), st.integers(1, 9), st.lists(st.binary(max_size=20), max_size=3)
)


@given(st.lists(arrivals, max_size=20), st.integers(0, 60))
def test_the_newest_arrivals_stay_in_order_within_the_bound(told: list[Arrival], max_bytes: int) -> None:
    early = EarlyArrivals(max_bytes)
    for at, arrival in enumerate(told, 1):
        early.keep(arrival)
        assert len(early) >= 1, "the newest always stays, because it shows the log's head"
        assert early.size <= max_bytes or len(early) == 1
        kept = told[at - len(early) : at]
        assert early.size == sum(len(payload) for one in kept for payload in one.payloads)
    count = len(early)
    assert [early.take() for _ in range(count)] == told[len(told) - count :]
    assert (len(early), early.size) == (0, 0)


@in_virtual_time
async def test_a_call_is_retried_with_growing_pauses() -> None:
    counts = HubCounts()
    asked: list[float] = []

    async def ask() -> str:
        asked.append(asyncio.get_running_loop().time())
        if len(asked) < 12:
            raise LogUnavailable("away") if len(asked) % 2 else LogFull("full")
        return "here"

    assert await LogRetry("p", counts)(ask) == "here"
    pauses = [after - before for before, after in pairwise(asked)]
    assert all(pause <= min(LONGEST_PAUSE, 0.05 * 2**number) for number, pause in enumerate(pauses))
    assert counts.log_errors == {"LogUnavailable": 6, "LogFull": 5}


@in_virtual_time
async def test_an_error_that_retrying_can_not_cure_is_raised() -> None:
    asked: list[str] = []

    async def ask() -> str:
        asked.append("once")
        raise SnapshotUnreadable("damaged")

    with pytest.raises(SnapshotUnreadable):
        await LogRetry("p", HubCounts())(ask)
    assert asked == ["once"]


def test_an_outage_is_logged_once_for_all_callers(caplog: pytest.LogCaptureFixture) -> None:
    down = True

    async def ask() -> str:
        if down:
            raise LogUnavailable("away")
        return "here"

    @in_virtual_time
    async def outage() -> None:
        nonlocal down
        patiently = LogRetry("p", HubCounts())
        asking = [asyncio.create_task(patiently(ask)) for _ in range(20)]
        await asyncio.sleep(10)
        down = False
        assert await asyncio.gather(*asking) == ["here"] * 20

    with caplog.at_level(logging.INFO, "hub.core.tail"):
        outage()
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
