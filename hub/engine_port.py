"""The interface between a hub and a plan engine, and the errors an engine raises through it.

A hub without an engine shows plans and takes events, but starts no plans.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol

from broadcasters.errors import PlancastError
from broadcasters.outbox import OutboxStatistics
from broadcasters.supervision import Part
from hub.wire.codes import ErrorCode

__all__ = [
    "BrokenTemplate",
    "EngineError",
    "EnginePort",
    "EngineStatistics",
    "EngineUnreachable",
    "InputRejected",
    "NoEngine",
    "PlanNotRunning",
    "SignalName",
    "TemplateInfo",
    "TemplateNotFound",
]

SignalName = Literal["cancel", "pause", "resume"]


class EngineError(PlancastError):
    """An engine refused or failed. `code` is the error code that clients get."""

    code: ClassVar[ErrorCode] = ErrorCode.INTERNAL


class NoEngine(EngineError):
    """This hub has no engine, so it can neither start nor signal plans."""

    code = ErrorCode.NOT_SUPPORTED


class PlanNotRunning(EngineError):
    """No engine runs this plan, or the plan has ended."""

    code = ErrorCode.NOT_SUPPORTED


class TemplateNotFound(EngineError):
    """There is no template of this name; the message lists those that exist."""

    code = ErrorCode.NOT_SUPPORTED


class InputRejected(EngineError, ValueError):
    """The template does not accept this input; the message says why."""

    code = ErrorCode.INVALID_FIELD


class BrokenTemplate(EngineError):
    """The template failed to make a valid plan; the message says what its author must fix."""


class EngineUnreachable(EngineError):
    """The engine does not respond at the moment. The same call may succeed later."""

    code = ErrorCode.UNAVAILABLE


@dataclass(frozen=True, slots=True)
class TemplateInfo:
    """A template as lists of templates show it."""

    name: str
    title: str
    about: str
    input_schema: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class EngineStatistics:
    """The numbers of an engine in this process, for metrics."""

    outbox: OutboxStatistics | None = None
    """Of the events that the engine publishes."""
    plans: Mapping[str, int] = field(default_factory=dict[str, int])
    """How many plans it is `running`, and how many of those it has begun are only `waiting`; empty if it runs none."""
    leased: bool | None = None
    """Whether it renews its lease in time; None if it runs no plans."""


class EnginePort(Protocol):
    """A plan engine as the hub uses it. Its plans publish their events to the log and read answers from it.

    Give it to one hub, which opens and closes it. Every method may raise `EngineUnreachable`."""

    async def open(self) -> None:
        """Start the engine. The hub's log is open, and stays open until the engine is closed."""
        ...

    async def close(self) -> None:
        """Stop the engine. Does nothing if it is not open."""
        ...

    @property
    def parts(self) -> Mapping[str, Part]:
        """The engine's long-lived tasks in this process, by name. The hub is not ready while one is down."""
        ...

    def statistics(self) -> EngineStatistics:
        """The engine's numbers now."""
        ...

    def templates(self) -> Sequence[TemplateInfo]:
        """The templates whose plans can be started."""
        ...

    async def start(self, template: str, given: Mapping[str, Any], plan_id: str, owner: str | None) -> bool:
        """Start a plan of this template. Starting the same plan_id again changes nothing; False: the plan was started with
        other arguments.

        Raises `TemplateNotFound`, `InputRejected` or `BrokenTemplate`."""
        ...

    async def signal(self, plan_id: str, signal: SignalName, by: str) -> None:
        """Request a plan to stop, pause or resume; its events report when it did. Raises `PlanNotRunning`."""
