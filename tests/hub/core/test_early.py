"""Arrivals that wait: in order, bounded, never without the newest."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hub.core.tail import Arrival, Early

arrivals = st.builds(
    Arrival, st.sampled_from(["a", "b"]), st.integers(1, 9), st.lists(st.binary(max_size=20), max_size=3)
)


@given(st.lists(arrivals, max_size=20), st.integers(0, 60))
def test_the_newest_stay_in_order_within_the_bound(told: list[Arrival], max_bytes: int) -> None:
    early = Early(max_bytes)
    for at, arrival in enumerate(told, 1):
        early.keep(arrival)
        assert len(early) >= 1, "the newest always stays: it says how far the log is"
        assert early.size <= max_bytes or len(early) == 1
        kept = told[at - len(early) : at]
        assert early.size == sum(len(payload) for one in kept for payload in one.payloads)
    count = len(early)
    assert [early.take() for _ in range(count)] == told[len(told) - count :]
    assert (len(early), early.size) == (0, 0)
