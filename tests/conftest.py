"""Hypothesis profiles. A test has no deadline per example, because the machine may be busy.

`everyday` is the default. `full`, for `make faults`, tries four times as many examples where a test does not set a number.
"""

from __future__ import annotations

from hypothesis import HealthCheck, settings

FULL = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=100)

settings.register_profile("full", FULL)
settings.register_profile("everyday", FULL, max_examples=25)
settings.load_profile("everyday")
