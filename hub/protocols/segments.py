"""The part of a plan that one run of another protocol's client shows, from a position to the next stop, encoded for it.

A segment ends where the plan ended, or where it waits for a person and nothing else works, at the head of the log. A stop
in the past is none: the client receives what follows it.

A `SegmentReader` folds the plan as it reads and passes each change to an `Encoder`. Encoders have no state: what a client
has is what the snapshot before the change shows. Therefore clients that are at the same position share the work: a burst
is folded once for a plan, and encoded once for equal encoders.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Final, Literal, NamedTuple, Protocol
from weakref import WeakValueDictionary

from broadcasters.changes import Changes, advance, difference
from broadcasters.events import PlanEvent
from broadcasters.position import Position
from broadcasters.snapshot import AgentUsage, InputState, Snapshot, StepState, decode, empty
from hub.core.burst import Burst
from hub.wire.frames import FrameEvent, data_of, position_of

__all__ = [
    "Advance",
    "Encoded",
    "Encoder",
    "Ending",
    "SegmentReader",
    "open_questions",
    "open_steps",
    "waits",
]


# -- the state of a plan


_WORKING: Final = frozenset({"in_progress", "retrying"})
_OPEN: Final = _WORKING | {"waiting", "stalled"}


def open_questions(plan: Snapshot) -> Sequence[InputState]:
    """The questions without an answer; none if the plan has ended."""
    if plan.ended_at is not None:
        return ()
    return [question for question in plan.inputs if question.answered_at is None]


def open_steps(plan: Snapshot) -> Sequence[StepState]:
    """The steps that have begun and have not ended; none if the plan has ended."""
    return [step for step in plan.steps if step.status in _OPEN] if plan.ended_at is None else ()


def waits(plan: Snapshot) -> bool:
    """Whether the plan waits for a person, and nothing else works."""
    works = any(step.status in _WORKING for step in plan.steps)
    return plan.status == "waiting" and not works and bool(open_questions(plan))


# -- encoders


class Encoded(NamedTuple):
    """Encoded bytes, and the position of a client that has them."""

    offset: int
    encoded: bytes


@dataclass(frozen=True, slots=True, eq=False)
class Advance:
    """What some events changed in a plan."""

    before: Snapshot
    after: Snapshot
    epoch: str
    changes: Sequence[Changes]
    """In the order of the events. A single one without an event: `after` is a snapshot from the hub."""
    frames: Sequence[bytes]
    """The events as the hub's own clients receive them, one for each of `changes`; empty for a snapshot."""
    encoded: dict[Encoder, tuple[Sequence[Encoded], bytes] | None] = field(default_factory=dict[Any, Any])

    def by(self, encoder: Encoder) -> tuple[Sequence[Encoded], bytes] | None:
        """What the encoder makes of it: in parts, and joined. None: it can't express the changes."""
        if encoder not in self.encoded:
            made = encoder.encode(self)
            parts = None if made is None else [*made]
            self.encoded[encoder] = None if parts is None else (parts, b"".join(part.encoded for part in parts))
        return self.encoded[encoder]


@dataclass(frozen=True, slots=True)
class Ending:
    """Why a stream ends. `stop`: the segment does; `restart`: the hub is stopped, and the client should reconnect;
    `failed`: the plan can't be followed any longer, with an error code of the hub and a message for people."""

    kind: Literal["stop", "restart", "failed"]
    code: str = ""
    message: str = ""
    used_before: Sequence[AgentUsage] = ()
    """What had been used of models when the stream began."""


class Encoder(Hashable, Protocol):
    """Encodes a plan for clients of one protocol. Equal encoders encode alike."""

    def opening(self, plan: Snapshot, position: Position) -> bytes:
        """The beginning of a stream: `plan` is what the client is to have before the changes that follow."""
        ...

    def encode(self, advance: Advance) -> Iterable[Encoded] | None:
        """What changed. Parts have rising offsets; several may have the same. None: the protocol can't express one of the
        changes, such as a text that was replaced; the client is then treated as if the log had been (`rewritten`)."""
        ...

    def rewritten(self, before: Snapshot, after: Snapshot, position: Position) -> bytes | None:
        """The log was replaced by another history: what gives a client at `before` the state of `after`. None if the
        protocol can't express that; the connection is then reset, so that the client starts again."""
        ...

    def closing(self, plan: Snapshot, position: Position, ending: Ending) -> bytes | None:
        """The end of a stream; `plan` is what the client has, an empty one if the stream ends before its beginning. None:
        the connection is reset, because the protocol has no end that a client resumes from."""
        ...


# -- readers


class SegmentReader:
    """Reads one plan for one client, beginning where the encoder's client is to receive what follows `after`.

    Follow the plan from its start (or with a snapshot, if `after` is None) and pass on what the hub reports. Each method
    returns bytes for the client. `over`: nothing more follows; `reset`: the connection must be cut, not ended. With `whole`
    the segment ends only where the plan does, for protocols whose questions and answers don't end a stream. With `exact`
    the client can't begin later than after `after`: the connection is reset if the log was trimmed there. The segment does
    not end before `least`, an offset that the log has and this node may not have read yet, such as an answer's.

    With `base`, the plan as the client has it, follow the plan from that position. The client then receives exactly what
    follows it, also of messages whose parts a subscription from the start would merge."""

    def __init__(
        self,
        plan_id: str,
        encoder: Encoder,
        after: int | None = 0,
        *,
        whole: bool = False,
        exact: bool = False,
        least: int = 0,
        base: tuple[Snapshot, Position] | None = None,
    ) -> None:
        self.plan_id = plan_id
        self.over = self.reset = False
        self.position = Position("", 0)
        self.plan = empty(plan_id)
        self._encoder = encoder
        self._after = after
        self._whole = whole
        self._exact = exact
        self._least = least
        self._base = base
        self._begun = False
        """The client has received the opening."""
        self._head = -1
        self._reason: str | None = None
        self._joined = 0
        """The head when a client joined that is to begin with a snapshot, which may be older."""
        self._used_before: Sequence[AgentUsage] = ()

    def confirmed(self, position: Position, head: int, reason: str | None) -> bytes:
        """The hub confirmed the subscription: events after this position follow, or a snapshot if there is a reason."""
        self._head, self._reason = max(head, self._least), reason
        if not self._begun:
            self._joined = self._head
        self._least = 0  # another history may never get there
        if self._base is not None and not self._begun:
            self._move(*self._base)
            return self._open() + (self._stop() if reason is None else b"")
        if reason is not None or self._begun or self._after is None:
            return b""
        self.position = position
        if not self._exact:
            self._after = min(self._after, head)  # not beyond what this node has
        return self._open() + self._stop() if self._after <= position.offset else b""

    def take(self, burst: Burst) -> bytes:
        """Events."""
        if self.over:
            return b""
        if not self._begun and self._after is not None and burst.first <= self._after < burst.last:
            return self._cross(burst, self._after)
        moved = _advance(self.plan, burst)
        if self._after is None and burst.first <= self._joined:
            self._used_before = _until(self._joined, moved, burst).usage_by_agent or ()
        self._move(moved.after, Position(moved.epoch, burst.last))
        if self._begun:
            return self._encoded(moved) + self._stop()
        return self._open() + self._stop() if self._after is None or burst.last >= self._after else b""

    def take_snapshot(self, frame: bytes) -> bytes:
        """The plan's snapshot, in place of the events up to its position."""
        if self.over:
            return b""
        (plan, position), before, reason = _snapshot_in(frame), self.plan, self._reason
        self._reason = None
        self._move(plan, position)
        if not self._begun and self._after == 0:  # it receives the plan from its beginning, as far as the log has it
            return self._open(before) + self._difference(before, position) + self._stop()
        if not self._begun and self._exact and self._after is not None and position.offset > self._after:
            return self._cut(None)
        if not self._begun:
            return self._open() + self._stop() if self._after is None or position.offset >= self._after else b""
        if reason in (None, "trimmed"):
            return self._difference(before, position) + self._stop()
        return self._cut(self._encoder.rewritten(before, self.plan, position)) + self._stop()

    def end(self, ending: Ending) -> bytes:
        """The stream ends for another reason than the plan's."""
        if self.over:
            return b""
        self.over = True
        plan, position = (self.plan, self.position) if self._begun else (empty(self.plan_id), Position("", 0))
        return self._cut(self._encoder.closing(plan, position, replace(ending, used_before=self._used_before)))

    def _open(self, plan: Snapshot | None = None) -> bytes:
        self._begun = True
        plan = plan or self.plan
        self._used_before = plan.usage_by_agent or ()
        return self._encoder.opening(plan, self.position)

    def _cross(self, burst: Burst, after: int) -> bytes:
        """Events of which the client has the first ones."""
        earlier = sum(event.first <= after for event in burst.events)
        if self._exact and burst.events[earlier - 1].position.offset > after:  # parts of a message that were merged
            return self._cut(None)
        self._move_by(burst.events[:earlier], burst.frames[:earlier])
        received = self._open()
        if earlier < len(burst.events):  # otherwise the client left within the merged parts of the last one
            received += self._encoded(self._move_by(burst.events[earlier:], burst.frames[earlier:]))
        return received + self._stop()

    def _move_by(self, events: Sequence[FrameEvent], frames: Sequence[bytes]) -> Advance:
        moved = _advance_by(self.plan, events, frames)
        self._move(moved.after, events[-1].position)
        return moved

    def _difference(self, before: Snapshot, position: Position) -> bytes:
        changes = Changes(before.offset + 1, position.offset, None, difference(before, self.plan))
        return self._encoded(Advance(before, self.plan, position.epoch, [changes], ()))

    def _encoded(self, moved: Advance) -> bytes:
        if (made := moved.by(self._encoder)) is not None:
            return made[1]
        return self._cut(self._encoder.rewritten(moved.before, moved.after, self.position))

    def _move(self, plan: Snapshot, position: Position) -> None:
        self.position = position
        key = self.plan_id, position.epoch, position.offset
        known = _known.get(key)
        self.plan = known if known is not None and (known is plan or known == plan) else plan
        _known[key] = self.plan

    def _stop(self) -> bytes:
        """The end of the stream, if the segment ends here."""
        plan = self.plan
        stops = plan.ended_at is not None or (not self._whole and waits(plan))
        if self.over or self.position.offset < self._head or not stops:
            return b""
        return self.end(Ending("stop"))

    def _cut(self, encoded: bytes | None) -> bytes:
        if encoded is None:
            self.over = self.reset = True
        return encoded or b""


_known: Final[WeakValueDictionary[tuple[str, str, int], Snapshot]] = WeakValueDictionary()
"""Plans at positions where readers are: folds up to the same position are equal, so all readers there share one."""


def _advance(before: Snapshot, burst: Burst) -> Advance:
    moved: Advance | None = burst.derived.get(id(before))  # which is not used again while the result keeps `before`
    if moved is None:
        moved = burst.derived[id(before)] = _advance_by(before, burst.events, burst.frames)
    return moved


def _advance_by(before: Snapshot, events: Sequence[FrameEvent], frames: Sequence[bytes]) -> Advance:
    after, changes = advance(before, _numbered(events))
    return Advance(before, after, events[-1].position.epoch, changes, frames[len(frames) - len(changes) :])


def _until(offset: int, moved: Advance, burst: Burst) -> Snapshot:
    """The plan after the events of a burst up to this offset."""
    if burst.last <= offset:
        return moved.after
    return advance(moved.before, _numbered(one for one in burst.events if one.position.offset <= offset))[0]


def _numbered(events: Iterable[FrameEvent]) -> Iterator[tuple[int, int, PlanEvent | None]]:
    return ((first, position.offset, event) for first, position, event in events)


@lru_cache(maxsize=4)
def _snapshot_in(frame: bytes) -> tuple[Snapshot, Position]:
    """Clients of a plan receive the same frame one right after the other."""
    position = position_of(frame)
    return decode(data_of(frame)), Position(position[1].decode().partition(":")[0], position[2])
