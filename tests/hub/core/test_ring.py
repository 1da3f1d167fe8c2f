"""The ring against a plain list."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hub.core.burst import Ring

batches = st.lists(st.lists(st.binary(min_size=1, max_size=30), max_size=6), max_size=20)


@given(after=st.integers(0, 50), max_bytes=st.integers(1, 200), max_frames=st.integers(1, 8), said=batches)
def test_it_holds_the_newest_neighbours_within_its_bounds(
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
def test_after_gives_a_bounded_run_and_at_least_one(
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
    assert sum(map(len, given[:-1])) < max_bytes, "the last one may cross the mark, none after it"
    if len(given) < len(wanted):
        assert sum(map(len, given)) >= max_bytes


@given(st.lists(st.binary(min_size=1, max_size=30), min_size=9, max_size=30))
def test_what_fell_out_is_not_given(said: list[bytes]) -> None:
    ring = Ring(0, 10_000, 8)
    ring.extend(said)
    for offset in range(len(said) + 1):
        given = ring.after(offset, ring.last, 10_000)
        assert given == (None if offset < ring.first - 1 else said[offset:])


def test_a_full_ring_is_cut_by_a_quarter_not_by_one() -> None:
    ring = Ring(0, 10_000, 100)
    ring.extend([b"x"] * 100)
    assert ring.first == 1, "just full is not too full"
    ring.extend([b"x"])
    assert (ring.first, ring.last) == (27, 101)


def test_a_ring_with_too_many_bytes_loses_a_quarter_of_them() -> None:
    ring = Ring(0, 100, 1_000)
    ring.extend([b"x" * 10] * 10)
    assert ring.first == 1, "just full is not too full"
    ring.extend([b"x" * 10])
    assert (ring.first, ring.last, ring.size) == (5, 11, 70)


def test_one_frame_larger_than_the_ring_is_not_held() -> None:
    ring = Ring(3, 10, 5)
    ring.extend([b"x" * 11])
    assert (ring.first, ring.last, ring.size) == (5, 4, 0)
    assert ring.after(3, 4, 100) is None
