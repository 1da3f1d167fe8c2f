"""The bounds that the limits come to."""

from __future__ import annotations

import re
from pathlib import Path

from hub.config.limits import (
    ConnectionLimits,
    Limits,
    OutletLimits,
    PlanLimits,
    bounds,
    per_connection,
    per_plan,
    per_process,
)


def test_bounds_describes_the_totals() -> None:
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


def test_a_larger_limit_never_makes_a_bound_smaller() -> None:
    assert per_process(Limits(plans=PlanLimits(total=2))) > per_process(Limits(plans=PlanLimits(total=1)))
    assert per_process(Limits(connections=ConnectionLimits(total=20_000))) > per_process(Limits())
    assert per_connection(Limits(outlet=OutletLimits(high_water=1 << 20))) > per_connection(Limits())


def test_the_operations_document_has_the_bounds_of_the_defaults() -> None:
    handbook = Path(__file__).parents[3] / "docs" / "OPERATIONS.md"
    assert bounds(Limits()) in handbook.read_text(encoding="utf-8")
