"""Errors: a copy is the same error, with a traceback of its own."""

from __future__ import annotations

import pytest

from broadcasters.errors import (
    BroadcasterClosed,
    InvalidEvent,
    InvalidPlanId,
    LogUnavailable,
    PlancastError,
    SnapshotUnreadable,
)

ERRORS = [
    InvalidEvent("content", "too long"),
    InvalidPlanId("a b"),
    SnapshotUnreadable("it has version 2", newer=True),
    LogUnavailable("the log was closed"),
    BroadcasterClosed("closed"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_a_copy_is_the_same_error(error: PlancastError) -> None:
    copy = error.copy()
    assert type(copy) is type(error)
    assert (str(copy), vars(copy), copy.__cause__) == (str(error), vars(error), error)
    with pytest.raises(type(error)):
        raise copy
    assert error.__traceback__ is None
