"""The exceptions of this package, by cause.

The caller: `InvalidEvent` (and `InvalidPlanId`), raised before anything is sent; a `ValueError`.
The operator: `LogMisconfigured` and `LogFull`; a retry fails until a person changes something.
The network or the log's server: `LogUnavailable`; the same call may succeed later.
"""

from __future__ import annotations

from typing import Self

__all__ = [
    "AnswerTrimmed",
    "BroadcasterClosed",
    "Expired",
    "InvalidEvent",
    "InvalidPlanId",
    "LogError",
    "LogFull",
    "LogMisconfigured",
    "LogUnavailable",
    "OutboxFull",
    "PlanBusy",
    "PlanCancelled",
    "PlancastError",
    "SnapshotUnreadable",
]


class PlancastError(Exception):
    """Base of all exceptions that this project raises."""

    def copy(self) -> Self:
        """The same error to raise elsewhere: a raised exception has a traceback of its own."""
        cls = type(self)
        copy = cls.__new__(cls, *self.args)
        copy.args, copy.__dict__, copy.__cause__ = self.args, dict(self.__dict__), self
        return copy


class InvalidEvent(PlancastError, ValueError):
    """A field of an event is wrong. `field` names it, `problem` says why; nothing was sent."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field
        self.problem = problem


class InvalidPlanId(InvalidEvent):
    """A plan id is wrong; it has 1 to 128 of A-Z a-z 0-9 . _ : @ ~ -"""

    def __init__(self, plan_id: object) -> None:
        shown = repr(plan_id)
        shown = shown if len(shown) <= 60 else shown[:57] + "..."
        super().__init__("plan_id", f"expected 1 to 128 of A-Z a-z 0-9 . _ : @ ~ -; got {shown}")


class BroadcasterClosed(PlancastError, RuntimeError):
    """The broadcaster, or the message, is not open."""


class LogError(PlancastError):
    """The log refused, or did not answer."""


class LogUnavailable(LogError):
    """The log could not be reached, or did not answer, within the deadline. The same call may succeed later."""


class OutboxFull(LogUnavailable):
    """The outbox had no room within the deadline, because too many events wait for the log. Nothing was sent."""


class LogFull(LogError):
    """The log has no room (memory, disk). Nothing was stored; its events stay readable."""


class LogMisconfigured(LogError):
    """The log refused for a reason that only its operator can change, such as password, permissions or version."""


class Expired(PlancastError):
    """A question got no answer in time, and has no default. In an engine's step that does not catch it, the step fails
    without a retry."""

    def __init__(self, prompt: str) -> None:
        super().__init__(f"No answer in time: {prompt}")


class AnswerTrimmed(PlancastError):
    """A question was answered, but its answer was trimmed from the log since. Ask again, with another key."""

    def __init__(self, plan_id: str, request_id: str) -> None:
        problem = f"request {request_id!r} of plan {plan_id!r} was answered, but the log no longer has its answer"
        super().__init__(f"{problem}; ask again, with another key")


class PlanBusy(PlancastError):
    """Another program works on the plan. The message names it."""


class PlanCancelled(PlancastError):
    """Someone cancelled the plan. Let it pass: the block of `working` reports that the plan has stopped."""

    def __init__(self, plan_id: str, by: str) -> None:
        super().__init__(f"{by} cancelled plan {plan_id!r}")
        self.plan_id = plan_id
        self.by = by


class SnapshotUnreadable(PlancastError):
    """A snapshot can't be decoded. `newer`: because newer code wrote it."""

    def __init__(self, problem: str, newer: bool = False) -> None:
        super().__init__(f"this snapshot can't be read: {problem}")
        self.problem = problem
        self.newer = newer
