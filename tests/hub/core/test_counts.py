"""Plain numbers, cheap to count."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broadcasters.events import AgentMessage, build
from hub.core.counts import LATENCY_BOUNDS, Histogram, said_at


@given(st.lists(st.floats(-1, 100)))
def test_a_histogram_holds_each_observation_once(seconds: list[float]) -> None:
    histogram = Histogram(LATENCY_BOUNDS)
    for each in seconds:
        histogram.observe(each)
    for bound, count in histogram.buckets():
        assert count == sum(each <= bound for each in seconds)
    assert histogram.total == pytest.approx(sum(max(each, 0) for each in seconds))


def test_an_event_says_when_it_was_said() -> None:
    moment = datetime(2026, 1, 31, 12, 0, 0, 123_000, UTC)
    fields = {"plan_id": "p", "agent_name": "a", "content": '"timestamp":"2001-01-01T00:00:00Z"', "timestamp": moment}
    assert said_at(build(AgentMessage, fields).payload("id")) == moment.timestamp()


@pytest.mark.parametrize(
    "payload",
    [b"", b"{}", b'{"timestamp":"', b'{"timestamp":"soon"}', b'{"timestamp":"' + b"2" * 99, b'"timestamp":"\xff"'],
)
def test_what_says_no_time_is_not_measured(payload: bytes) -> None:
    assert said_at(payload) is None
