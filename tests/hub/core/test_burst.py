"""Recent frames: encoded once, handed out once, then held in a ring of bounded size."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from broadcasters.position import Position
from hub.config.limits import ChannelLimits
from hub.core.burst import RecentFrames, Ring
from hub.wire.frames import position_of
from tests.hub.core.scripted_log import step

POLICY = replace(ChannelLimits(), ring_events=4, burst_bytes=1)


def test_frames_are_handed_out_once() -> None:
    newest = RecentFrames("p", POLICY)
    newest.restart(Position("e", 7))
    assert newest.hand_out() is None
    assert [newest.take([step(8)]), newest.take([step(9)])] == [True, False]
    burst = newest.hand_out()
    assert burst is not None
    assert (burst.first, burst.last, newest.handed) == (8, 9, 9)
    assert [position_of(frame) for frame in burst.frames] == [("p", b"e:8", 8), ("p", b"e:9", 9)]
    assert newest.hand_out() is None


def test_subscribers_that_are_behind_share_a_burst() -> None:
    newest = RecentFrames("p", POLICY)
    newest.take([step(number) for number in range(1, 9)])
    newest.hand_out()
    assert newest.after(0) is None
    behind = newest.after(6)
    assert behind is not None
    assert (behind.first, behind.last) == (7, 7)  # about as much as is handed out at a time
    assert newest.after(6) is behind
    rest = newest.all_after(6)
    assert rest is not None
    assert (rest.first, rest.last, len(rest.frames)) == (7, 8, 2)


def test_frames_that_were_not_handed_out_are_not_given_to_those_behind() -> None:
    newest = RecentFrames("p", POLICY)
    newest.take([step(1)])
    rest = newest.all_after(0)
    assert rest is not None
    assert list(rest.frames) == []


def test_a_restart_drops_all_frames() -> None:
    newest = RecentFrames("p", POLICY)
    newest.take([step(1)])
    newest.restart(Position("f", 3))
    assert newest.hand_out() is None
    assert newest.after(0) is None


batches = st.lists(st.lists(st.binary(min_size=1, max_size=30), max_size=6), max_size=20)


@given(after=st.integers(0, 50), max_bytes=st.integers(1, 200), max_frames=st.integers(1, 8), said=batches)
def test_the_ring_holds_the_newest_frames_within_its_bounds(
    after: int, max_bytes: int, max_frames: int, said: list[list[bytes]]
) -> None:
    ring, story = Ring(after, max_bytes, max_frames), [b""] * after
    for frames in said:
        before = ring.first
        ring.extend(frames)
        story += frames
        held = story[ring.first - 1 :]
        assert ring.last == len(story)
        assert len(held) <= max_frames
        assert ring.size == sum(map(len, held)) <= max_bytes
        assert ring.first >= before
        assert list(ring.after(ring.first - 1, ring.last, 10_000) or ()) == held


@given(
    said=st.lists(st.binary(min_size=1, max_size=30), min_size=1, max_size=12),
    before=st.integers(0, 5),
    behind=st.integers(0, 12),
    max_bytes=st.integers(1, 100),
)
def test_after_gives_a_bounded_number_of_frames_and_at_least_one(
    said: list[bytes], before: int, behind: int, max_bytes: int
) -> None:
    ring = Ring(0, 10_000, 12)
    ring.extend(said)
    upto = max(0, len(said) - before)
    offset = max(0, upto - behind)
    given = ring.after(offset, upto, max_bytes)
    assert given is not None
    wanted = said[offset:upto]
    assert list(given) == wanted[: len(given)]
    assert bool(given) == bool(wanted)
    assert sum(map(len, given[:-1])) < max_bytes, "only the last one may cross the limit"
    if len(given) < len(wanted):
        assert sum(map(len, given)) >= max_bytes


@given(st.lists(st.binary(min_size=1, max_size=30), min_size=9, max_size=30))
def test_dropped_frames_are_not_given(said: list[bytes]) -> None:
    ring = Ring(0, 10_000, 8)
    ring.extend(said)
    for offset in range(len(said) + 1):
        given = ring.after(offset, ring.last, 10_000)
        assert given == (None if offset < ring.first - 1 else said[offset:])


def test_a_full_ring_drops_a_quarter_at_once() -> None:
    ring = Ring(0, 10_000, 100)
    ring.extend([b"x"] * 100)
    assert ring.first == 1, "exactly full drops nothing"
    ring.extend([b"x"])
    assert (ring.first, ring.last) == (27, 101)


def test_a_ring_with_too_many_bytes_drops_a_quarter_of_them() -> None:
    ring = Ring(0, 100, 1_000)
    ring.extend([b"x" * 10] * 10)
    assert ring.first == 1, "exactly full drops nothing"
    ring.extend([b"x" * 10])
    assert (ring.first, ring.last, ring.size) == (5, 11, 70)


def test_one_frame_larger_than_the_ring_is_not_held() -> None:
    ring = Ring(3, 10, 5)
    ring.extend([b"x" * 11])
    assert (ring.first, ring.last, ring.size) == (5, 4, 0)
    assert ring.after(3, 4, 100) is None
