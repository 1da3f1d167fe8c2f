"""What can go wrong when something is said about a plan, and whose fault it was.

The caller's: `InvalidEvent` (and `InvalidPlanId`), raised before anything is sent; it is a `ValueError`.
The operator's: `LogMisconfigured`: retrying won't help until a person changes something.
The weather's: `LogUnavailable`: the log did not answer before the deadline; the same call may work later.
"""

from __future__ import annotations

__all__ = [
    "BroadcasterClosed",
    "InvalidEvent",
    "InvalidPlanId",
    "LogError",
    "LogFull",
    "LogMisconfigured",
    "LogUnavailable",
    "OutboxFull",
    "PlancastError",
    "SnapshotUnreadable",
]


class PlancastError(Exception):
    """Anything this project raises on purpose."""


class InvalidEvent(PlancastError, ValueError):
    """What was said can't be an event. `field` names the part at fault; nothing was sent."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field
        self.problem = problem


class InvalidPlanId(InvalidEvent):
    """Not a plan id: 1 to 128 of A-Z a-z 0-9 . _ : @ ~ - are."""

    def __init__(self, plan_id: object) -> None:
        shown = repr(plan_id)
        shown = shown if len(shown) <= 60 else shown[:57] + "..."
        super().__init__("plan_id", f"1 to 128 of A-Z a-z 0-9 . _ : @ ~ - are allowed, not {shown}")


class BroadcasterClosed(PlancastError, RuntimeError):
    """The broadcaster was closed (or not yet opened); say it through one that is open."""


class LogError(PlancastError):
    """The log did not take it, or did not answer."""


class LogUnavailable(LogError):
    """The log could not be reached, or did not answer, until the deadline. The same call may work later."""


class OutboxFull(LogUnavailable):
    """So much is waiting for the log already that no room came free until the deadline. Nothing was sent."""


class LogFull(LogError):
    """The log has no room (memory, disk). Nothing was written, and what it holds stays readable."""


class LogMisconfigured(LogError):
    """The log refuses for a reason only its operator can change: password, rights, version, wrong data at the key."""


class SnapshotUnreadable(PlancastError):
    """These bytes are no snapshot this code can read; with `newer`, because newer code wrote them."""

    def __init__(self, problem: str, newer: bool = False) -> None:
        super().__init__(f"this snapshot can't be read: {problem}")
        self.problem = problem
        self.newer = newer
