"""What a dialect is: a client's messages and plans' events in, actions out. Pure: nothing here waits or does I/O."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Literal

from broadcasters.errors import InvalidPlanId
from broadcasters.events import PLAN_ENDED, PlanEvent, PlanUpdate, check_plan_id
from broadcasters.log.contract import PlanEntry
from broadcasters.position import Position
from broadcasters.snapshot import Snapshot, decode
from hub.core.snapshot_events import rebuilt_with_offsets
from hub.core.subscriber import Since
from hub.engine_port import SignalName
from hub.wire.codes import CloseCode

__all__ = [
    "Action",
    "ControlPlan",
    "Dialect",
    "Disconnect",
    "FindPlans",
    "Follow",
    "FollowedEvent",
    "PlanFeed",
    "RefusedAction",
    "SendFrame",
    "Start",
    "Unfollow",
    "plan_id_of",
    "rebuilt_events",
    "snapshot_frame_events",
]


# -- in: events and refusals


@dataclass(frozen=True, slots=True)
class FollowedEvent:
    """An event of a plan that the client follows."""

    position: Position
    """A client that follows the plan from here receives what comes after this event."""
    event: PlanEvent
    rebuilt: bool = False
    """It was rebuilt from a snapshot: the client may have received it before, and intermediate events are missing."""

    @property
    def ends_plan(self) -> bool:
        event = self.event
        return isinstance(event, PlanUpdate) and event.step_id is None and event.status in PLAN_ENDED


@dataclass(frozen=True, slots=True)
class RefusedAction:
    """An error: an action was refused, or the client's message. `code` is that of an `error` frame (docs/PROTOCOL.md)."""

    code: str
    message: str
    """For people."""
    plan_id: str | None = None
    action: Literal["start", "follow", "signal", "find"] | None = None
    """The refused action. A plan whose `follow` was refused is no longer followed."""


# -- out: actions


@dataclass(frozen=True, slots=True)
class SendFrame:
    """Sends the client this frame. `position` is what the client has seen by then, where the format can express it."""

    frame: Mapping[str, Any]
    position: Position | None = None


@dataclass(frozen=True, slots=True)
class FindPlans:
    """Looks up the plans with this label, the last active first; those that may be read are passed to `on_found`."""

    label: str
    limit: int = 50


@dataclass(frozen=True, slots=True)
class Follow:
    """Follows a plan from there on. Requires the right to read it; does nothing if the plan is followed already."""

    plan_id: str
    since: Since = "start"


@dataclass(frozen=True, slots=True)
class Unfollow:
    """Follows the plan no longer."""

    plan_id: str


@dataclass(frozen=True, slots=True)
class Start:
    """Starts a plan; then `on_started` or `on_refused` is called. The plan runs on if the client disconnects."""

    template: str
    input: Mapping[str, Any]
    plan_id: str


@dataclass(frozen=True, slots=True)
class ControlPlan:
    """Asks the engine to cancel, pause or resume a plan. The plan's events report the effect; if no engine can be
    asked, `on_refused` is called."""

    plan_id: str
    signal: SignalName


@dataclass(frozen=True, slots=True)
class Disconnect:
    """Closes the connection once everything has been sent."""

    code: CloseCode = CloseCode.NORMAL
    reason: str = ""


Action = SendFrame | FindPlans | Follow | Unfollow | Start | ControlPlan | Disconnect


# -- dialects


class Dialect:
    """One client's conversation in another front end's format. Each method returns actions, which are carried out in
    that order; none raises or waits. Override those that the format needs.
    """

    def on_open(self) -> Iterable[Action]:
        """The client was admitted and authenticated. Called once, before every method but `on_refused`."""
        return ()

    def on_message(self, message: Mapping[str, Any]) -> Iterable[Action]:
        """The client sent a JSON object, bounded in size and depth, with unchecked fields. Messages of type
        `authenticate` are handled by the hub."""
        del message
        return ()

    def on_invalid_message(self, reason: str) -> Iterable[Action]:
        """The client sent something other than a JSON object."""
        return self.on_refused(RefusedAction("bad_frame", reason))

    def on_started(self, plan_id: str) -> Iterable[Action]:
        """A plan was started, now or by an earlier request with the same id."""
        del plan_id
        return ()

    def on_found(self, plans: Sequence[PlanEntry]) -> Iterable[Action]:
        """The result of `FindPlans`. If they can't be looked up, `on_refused` is called."""
        del plans
        return ()

    def on_event(self, followed: FollowedEvent) -> Iterable[Action]:
        """The next event of a followed plan."""
        del followed
        return ()

    def on_refused(self, refused: RefusedAction) -> Iterable[Action]:
        """An action, or the client's message, was refused."""
        del refused
        return ()


class PlanFeed(Dialect):
    """Translates one plan from a position to its end, then disconnects. HTTP responses are made of it."""

    def __init__(
        self, plan_id: str, translate: Callable[[FollowedEvent], Iterable[SendFrame]], since: Since = "start"
    ) -> None:
        self._follow = Follow(plan_id, since)
        self._translate = translate
        self.refused: RefusedAction | None = None
        """Why it ended before the plan did, if it did."""

    def on_open(self) -> Iterable[Action]:
        yield self._follow

    def on_event(self, followed: FollowedEvent) -> Iterable[Action]:
        yield from self._translate(followed)
        if followed.ends_plan:
            yield Disconnect()

    def on_refused(self, refused: RefusedAction) -> Iterable[Action]:
        self.refused = refused
        yield Disconnect(CloseCode.INTERNAL, refused.message)


# -- snapshots as events


def rebuilt_events(snapshot: Snapshot, epoch: str) -> Iterator[FollowedEvent]:
    """Yields events that fold to the snapshot. The last one has the plan's status and result."""
    for offset, event in rebuilt_with_offsets(snapshot):
        if offset == snapshot.offset and isinstance(event, PlanUpdate):
            event = event.model_copy(update={"data": snapshot.result or snapshot.data})
        yield FollowedEvent(Position(epoch, offset), event, rebuilt=True)


@lru_cache(maxsize=1)
def snapshot_frame_events(frame: bytes) -> Sequence[FollowedEvent]:
    """Returns the events of a snapshot's frame. Clients of a plan receive the same frame one right after the other, so
    the last result is cached."""
    fields: dict[str, Any] = json.loads(frame)
    return [*rebuilt_events(decode(json.dumps(fields["data"]).encode()), fields["epoch"])]


# -- ids


_escaped: Final = re.compile(rb"[^A-Za-z0-9._@-]")


def plan_id_of(kind: str, *names: str) -> str:
    """Returns the plan id for another system's names: a kind and the names, joined by colons.

    Letters, digits and `. _ @ -` stand for themselves; every other byte of a name is `~` and two hex digits. Different
    names therefore have different plan ids, and no name reaches another client's plans. Raises `InvalidPlanId` if a
    name is empty or they are too long together."""
    if not all(names):
        raise InvalidPlanId("")
    return check_plan_id(":".join([kind, *map(_escape, names)]))


def _escape(name: str) -> str:
    encoded = name.encode("utf-8", "surrogatepass")
    return _escaped.sub(lambda found: b"~%02X" % found[0][0], encoded).decode("ascii")
