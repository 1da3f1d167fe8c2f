"""A histogram counts each observation once."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.core.counts import LATENCY_BOUNDS, Histogram


@given(st.lists(st.floats(-1, 100)))
def test_a_histogram_holds_each_observation_once(seconds: list[float]) -> None:
    histogram = Histogram(LATENCY_BOUNDS)
    for each in seconds:
        histogram.observe(each)
    for bound, count in histogram.buckets():
        assert count == sum(each <= bound for each in seconds)
    assert histogram.total == pytest.approx(sum(max(each, 0) for each in seconds))
