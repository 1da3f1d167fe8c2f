"""What a dialect is made of: it hears a client, it is told of plans, and it says what is to be done. Pure, no I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from broadcasters.events import PLAN_ENDED, PlanEvent, PlanUpdate
from broadcasters.log.contract import PlanEntry
from broadcasters.position import Position
from hub.core.subscriber import Since
from hub.engine_port import SignalName
from hub.wire.codes import CloseCode

__all__ = [
    "Act",
    "Find",
    "Follow",
    "HangUp",
    "Recount",
    "Refusal",
    "Say",
    "Signal",
    "Speaker",
    "Start",
    "Told",
    "Unfollow",
]


@dataclass(frozen=True, slots=True)
class Told:
    """An event of a plan that is followed."""

    place: Position
    """Whoever follows from here gets what comes after this event."""
    event: PlanEvent
    retold: bool = False
    """It comes from a snapshot: the client may have been told of it before, and will not be told each word."""

    @property
    def ending(self) -> PlanUpdate | None:
        """The event, if it ends its plan."""
        event = self.event
        ends = isinstance(event, PlanUpdate) and event.step_id is None and event.status in PLAN_ENDED
        return event if ends and isinstance(event, PlanUpdate) else None


@dataclass(frozen=True, slots=True)
class Refusal:
    """Something that was to be done can't be; `code` is that of an `error` frame (docs/PROTOCOL.md)."""

    code: str
    message: str
    """For people."""
    plan_id: str | None = None
    act: Literal["start", "follow", "signal", "find"] | None = None
    """What was to be done with that plan. A plan that is refused to be followed is told of no more."""


@dataclass(frozen=True, slots=True)
class Say:
    """Send the client this frame. `place`: how the client may name what it has seen by then, where it can."""

    frame: Mapping[str, Any]
    place: Position | None = None


@dataclass(frozen=True, slots=True)
class Find:
    """Look up the plans that carry this label, the last active first, and report those `found` that may be read."""

    label: str
    limit: int = 50


@dataclass(frozen=True, slots=True)
class Follow:
    """Tell me of this plan, from there on. Needs the right to read it. Following it already changes nothing."""

    plan_id: str
    since: Since = "start"


@dataclass(frozen=True, slots=True)
class Unfollow:
    """Tell me no more of it."""

    plan_id: str


@dataclass(frozen=True, slots=True)
class Start:
    """Start a plan, and report `started`, or `refused` with its plan_id. It goes on without the client."""

    template: str
    given: Mapping[str, Any]
    plan_id: str


@dataclass(frozen=True, slots=True)
class Signal:
    """Ask the plan to stop, to pause or to go on. That it obeyed is told by the plan; `refused` if nobody is asked."""

    plan_id: str
    signal: SignalName


@dataclass(frozen=True, slots=True)
class HangUp:
    """That was all: close, when everything has been sent."""

    code: CloseCode = CloseCode.NORMAL
    reason: str = ""


Act = Say | Find | Follow | Unfollow | Start | Signal | HangUp


class Speaker:
    """One client's conversation. Each method answers what is to be done, in that order; none of them raises or waits.

    What a dialect has no use for, it need not define.
    """

    def opened(self) -> Iterable[Act]:
        """The client is in, and it is known who that is. Comes once, before everything else but `refused`."""
        return ()

    def heard(self, frame: Mapping[str, Any]) -> Iterable[Act]:
        """The client said this: a JSON object, bounded in size and depth, its fields unchecked. (A frame of type
        `authenticate` never gets here.)"""
        del frame
        return ()

    def garbled(self, why: str) -> Iterable[Act]:
        """The client said something that is no JSON object."""
        return self.refused(Refusal("bad_frame", why))

    def started(self, plan_id: str) -> Iterable[Act]:
        """The plan is on its way (or was, when it had been started before)."""
        del plan_id
        return ()

    def found(self, plans: Sequence[PlanEntry]) -> Iterable[Act]:
        """These plans were found. (When they can't be looked for: `refused`.)"""
        del plans
        return ()

    def told(self, told: Told) -> Iterable[Act]:
        """A plan that is followed goes on."""
        del told
        return ()

    def refused(self, refusal: Refusal) -> Iterable[Act]:
        """Something can't be done."""
        del refusal
        return ()


class Recount(Speaker):
    """Tells one plan in a dialect from some place to its end, then hangs up: what answers over HTTP are made of."""

    def __init__(self, plan_id: str, translate: Callable[[Told], Iterable[Say]], since: Since = "start") -> None:
        self._follow = Follow(plan_id, since)
        self._translate = translate
        self.refusal: Refusal | None = None
        """Why it ended before the plan did, if it did."""

    def opened(self) -> Iterable[Act]:
        yield self._follow

    def told(self, told: Told) -> Iterable[Act]:
        yield from self._translate(told)
        if told.ending:
            yield HangUp()

    def refused(self, refusal: Refusal) -> Iterable[Act]:
        self.refusal = refusal
        yield HangUp(CloseCode.INTERNAL, refusal.message)
