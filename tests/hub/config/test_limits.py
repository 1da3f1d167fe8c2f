"""How much of everything there may be."""

from __future__ import annotations

import re
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from hub.config.limits import (
    ConnectionLimits,
    Limits,
    OutletLimits,
    PlanLimits,
    TokenBucket,
    Waters,
    bounds,
    per_connection,
    per_plan,
    per_process,
)


def test_a_bucket_gives_its_burst_and_then_what_flows_in() -> None:
    bucket = TokenBucket(rate=2, burst=3, now=100.0)
    assert [bucket.take(1, 100.0) for _ in range(4)] == [True, True, True, False]
    assert bucket.wait(1, 100.0) == 0.5
    assert not bucket.take(1, 100.4)
    assert bucket.take(1, 100.5)
    assert bucket.wait(1, 1000.0) == 0.0
    assert [bucket.take(1, 1000.0) for _ in range(4)] == [True, True, True, False]


def test_what_is_more_than_the_burst_can_never_be_taken() -> None:
    bucket = TokenBucket(rate=1, burst=3, now=0)
    assert not bucket.take(4, 1e9)
    assert bucket.wait(4, 1e9) == float("inf")


def test_a_bucket_without_inflow_is_a_budget() -> None:
    bucket = TokenBucket(rate=0, burst=3, now=0)
    assert bucket.take(3, 0)
    assert not bucket.take(1, 1e9)
    assert bucket.wait(1, 1e9) == float("inf")
    assert bucket.wait(0, 1e9) == 0.0


@given(
    st.floats(0.1, 100),
    st.floats(1, 100),
    st.lists(st.tuples(st.floats(0, 10), st.floats(0, 50)), min_size=1, max_size=50),
)
def test_no_pattern_of_asking_gets_more_than_burst_and_rate(
    rate: float, burst: float, asks: list[tuple[float, float]]
) -> None:
    bucket, now, got = TokenBucket(rate, burst, 0.0), 0.0, 0.0
    for pause, amount in asks:
        now += pause
        wait = bucket.wait(amount, now)
        taken = bucket.take(amount, now)
        assert taken is (wait == 0.0)
        got += amount if taken else 0
    assert got <= burst + rate * now + 1e-6


@given(st.integers(1, 100_000), st.integers(1 << 20, 1 << 30))
def test_what_waits_for_slow_clients_is_bounded_however_many_there_are(connections: int, total: int) -> None:
    limits = Limits(written_total=total)
    waters = Waters(limits)
    waters.share(connections)
    waiting = connections * (waters.high + limits.channel.burst_bytes)
    assert waiting <= total or waters.high == Waters.LEAST
    assert 0 < waters.low < waters.high <= limits.outlet.high_water


def test_few_clients_get_the_full_water_marks() -> None:
    waters = Waters(limits := Limits())
    waters.share(100)
    assert (waters.high, waters.low) == (limits.outlet.high_water, limits.outlet.low_water)


def test_the_bounds_say_what_the_numbers_come_to() -> None:
    limits = Limits(
        connections=ConnectionLimits(per_address=10, per_principal=5, total=100),
        outlet=OutletLimits(high_water=1024 * 1024),
        plans=PlanLimits(per_address=6, per_principal=5, total=7),
    )
    told = bounds(limits)
    assert re.findall(r"(\d+) (connections|plans|per \w+)", told)[:6] == [
        ("100", "connections"),
        ("10", "per address"),
        ("5", "per principal"),
        ("7", "plans"),
        ("6", "per address"),
        ("5", "per principal"),
    ]
    assert "2.3 MiB" in told
    assert per_process(limits) == 100 * per_connection(limits) + 7 * per_plan(limits)
    assert per_connection(limits) > limits.outlet.high_water + limits.session.frame_bytes


def test_more_of_anything_never_makes_a_bound_smaller() -> None:
    assert per_process(Limits(plans=PlanLimits(total=2))) > per_process(Limits(plans=PlanLimits(total=1)))
    assert per_process(Limits(connections=ConnectionLimits(total=20_000))) > per_process(Limits())
    assert per_connection(Limits(outlet=OutletLimits(high_water=1 << 20))) > per_connection(Limits())


def test_the_handbook_tells_the_bounds_of_the_defaults() -> None:
    handbook = Path(__file__).parents[3] / "docs" / "OPERATIONS.md"
    assert bounds(Limits()) in handbook.read_text(encoding="utf-8")
