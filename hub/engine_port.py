"""What the hub asks of an engine, whichever it is. Without one, plans can be watched and published, but not started."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from broadcasters.errors import PlancastError
from broadcasters.supervision import Part

__all__ = [
    "BrokenTemplate",
    "EngineAway",
    "EnginePort",
    "NotRunHere",
    "SignalName",
    "TemplateInfo",
    "UnfitInput",
    "UnknownTemplate",
]

SignalName = Literal["cancel", "pause", "resume"]


class NotRunHere(PlancastError):
    """No engine runs this plan, or it has ended: there is nobody to obey."""


class UnknownTemplate(PlancastError):
    """There is no template of this name; the message names those there are."""


class UnfitInput(PlancastError, ValueError):
    """The template can't work with this input; the message says why."""


class BrokenTemplate(PlancastError):
    """The template makes no plan that can be run; its author must change something, and the message says what."""


class EngineAway(PlancastError):
    """The engine can't be reached at the moment. The same call may work later."""


@dataclass(frozen=True, slots=True)
class TemplateInfo:
    """A template as a gallery shows it."""

    name: str
    title: str
    about: str
    input_schema: Mapping[str, Any]


class EnginePort(Protocol):
    """An engine. Its plans tell everything about themselves through the log; answers reach them through it too.

    The hub it is given to opens and closes it. Everything asked of it may raise `EngineAway`."""

    async def open(self) -> None:
        """Begin. The hub's log is open, and stays so until the engine is closed."""
        ...

    async def close(self) -> None:
        """Stop. Harmless when it is not open."""
        ...

    @property
    def parts(self) -> Mapping[str, Part]:
        """The engine's long-lived work in this process, by name. The hub is not ready while a part is down."""
        ...

    def templates(self) -> Sequence[TemplateInfo]:
        """What can be started."""
        ...

    async def start(self, template: str, given: Mapping[str, Any], plan_id: str, owner: str | None) -> None:
        """Start a plan of this template. Starting the same plan_id again changes nothing.

        Raises `UnknownTemplate`, `UnfitInput` or `BrokenTemplate`."""

    async def signal(self, plan_id: str, signal: SignalName, by: str) -> None:
        """Ask a plan to stop, to pause or to go on; the plan itself says when it obeyed. Raises `NotRunHere`."""
