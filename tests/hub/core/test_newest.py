"""The newest events: encoded once, handed out once, then at hand for those behind."""

from __future__ import annotations

from dataclasses import replace

from broadcasters.position import Position
from hub.config.limits import ChannelLimits
from hub.core.newest import Newest
from hub.wire.frames import position_of
from tests.hub.core.scripted_log import step

POLICY = replace(ChannelLimits(), ring_events=4, burst_bytes=1)


def test_what_is_taken_is_handed_out_once() -> None:
    newest = Newest("p", POLICY)
    newest.stand_at(Position("e", 7))
    assert newest.hand_out() is None
    assert [newest.take([step(8)]), newest.take([step(9)])] == [True, False]
    burst = newest.hand_out()
    assert burst is not None
    assert (burst.first, burst.last, newest.handed) == (8, 9, 9)
    assert [position_of(frame) for frame in burst.frames] == [("p", b"e:8", 8), ("p", b"e:9", 9)]
    assert newest.hand_out() is None


def test_those_behind_share_what_is_at_hand() -> None:
    newest = Newest("p", POLICY)
    newest.take([step(number) for number in range(1, 9)])
    newest.hand_out()
    assert newest.after(0) is None
    behind = newest.after(6)
    assert behind is not None
    assert (behind.first, behind.last) == (7, 7)  # about as much as is handed at a time
    assert newest.after(6) is behind
    rest = newest.all_after(6)
    assert rest is not None
    assert (rest.first, rest.last, len(rest.frames)) == (7, 8, 2)


def test_what_was_not_handed_out_is_not_at_hand() -> None:
    newest = Newest("p", POLICY)
    newest.take([step(1)])
    rest = newest.all_after(0)
    assert rest is not None
    assert list(rest.frames) == []


def test_standing_elsewhere_it_has_nothing_of_before() -> None:
    newest = Newest("p", POLICY)
    newest.take([step(1)])
    newest.stand_at(Position("f", 3))
    assert newest.hand_out() is None
    assert newest.after(0) is None
