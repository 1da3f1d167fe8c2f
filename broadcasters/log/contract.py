"""The contract of a plan's log. Every log keeps all of these promises; one suite (tests/contract) checks each of them.

L1  Order. The events of a plan have offsets 1, 2, 3 ... without gap or duplicate, in the order they were appended. The
    events of one append are next to each other.
L2  Append is one atomic step: deduplicate, assign offsets, store, notify the watchers. It happens whole or not at all.
L3  Once. An append is identified by (producer, seq): repeating it (after a lost reply, on another connection, after a
    restart) returns the first offsets and stores nothing. A producer has one append of a plan under way at a time, and
    repeats only that one, alone or with more entries after it; an older append that arrives late is not stored. An entry
    with a `key` that the plan already has gets the offset of the first, whichever producer sends it.
L4  Durability. When append returns, the events are as durable as `durability` says.
L5  Read returns the events stored after an offset: consecutive, in order, at most as many as requested, and never an
    empty page while there are more. Lineage, head and floor come with them, in one consistent view.
L6  Watch. After `watch` has returned, every later append reaches the watcher, in order per append; otherwise the watcher
    is called `lost` when the tail breaks, and `resumed` when it works again. In between events may be missing, and a
    message may even be lost unnoticed: a watcher that needs all events compares offsets and reads. A watcher is called in
    the event loop, must be quick, and must not raise. It may receive an event twice.
L7  Lineage. Every event belongs to an epoch. After the log's server was replaced or restarted, the next append begins a
    new epoch, and the lineage has the offset at which the old one ended. A log that was lost, or a plan that was deleted,
    and is begun again has a new lineage without any older epoch.
L8  Size. A checkpoint (the snapshot at an offset) is kept with the plan; the newest one wins. Only events that a
    checkpoint covers are trimmed: `floor` never passes the checkpoint's offset, and offsets keep counting.
L9  Index. Plans are listed by owner, by label, and all of them, the most recently active first. A plan is in the index
    before its first append returns. An append of signs of life only (`Facts.quiet`) is no activity.
L10 Reading creates nothing, and a plan without events has the head `(Lineage(), 0, 0)`.
L11 Errors. `LogUnavailable`: the call may be repeated, and whether it took effect is unknown (L3 makes repeating an append
    safe). `LogFull`, `LogMisconfigured`: nothing was stored. Plan ids are checked before anything is sent. A log never
    repeats an append by itself; its caller does, under L3.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol

from broadcasters.events import PLAN_ENDED, PlanEvent, PlanUpdate, WorkerUpdate
from broadcasters.position import Continuity, Lineage, Position
from broadcasters.supervision import Part

__all__ = [
    "CHECKPOINT_EVERY",
    "MAX_APPEND_BYTES",
    "MAX_APPEND_EVENTS",
    "Appended",
    "Checkpoint",
    "Durability",
    "Entry",
    "Facts",
    "Head",
    "Page",
    "PlanEntry",
    "PlanLog",
    "PlanPage",
    "Watch",
    "Watcher",
    "facts_of",
    "runs",
]

MAX_APPEND_EVENTS: Final = 256
MAX_APPEND_BYTES: Final = 1024 * 1024
CHECKPOINT_EVERY: Final = 500
"""An append after which this many events follow the last checkpoint returns `checkpoint_due`."""

Durability = Literal["memory", "second", "disk", "replicated"]
"""Where an event is when its append returns: in memory; on disk within a second; on disk; on a replica as well."""


@dataclass(frozen=True, slots=True)
class Entry:
    """An event to append: its payload, and the key under which it is stored at most once."""

    payload: bytes
    key: str | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """The fields of a plan that lists show, known without the fold. None leaves one as it is."""

    status: str | None = None
    first_status: str | None = None
    """Applies only while the plan has no status."""
    title: str | None = None
    progress: float | None = None
    owner: str | None = None
    labels: tuple[str, ...] | None = None
    quiet: bool = False
    """The plan keeps its place in lists, unless this is its first append."""


def facts_of(events: Sequence[PlanEvent]) -> Facts:
    """The facts in these events; the latest one of each counts."""
    facts: dict[str, object] = {}
    if all(isinstance(event, WorkerUpdate) and event.state == "alive" for event in events):
        return _QUIET
    for event in events:
        if not isinstance(event, PlanUpdate):
            continue
        if event.step_id is None:
            facts["status"] = event.status
            if event.progress is not None:
                facts["progress"] = event.progress
            elif event.status == "completed":
                facts["progress"] = 100.0
        if event.title is not None and event.step_id is None:
            facts["title"] = event.title
        if event.owner is not None:
            facts["owner"] = event.owner
        if event.labels is not None:
            facts["labels"] = tuple(event.labels)
    return Facts(first_status="in_progress", **facts) if facts else _BEGUN  # type: ignore[arg-type]


_BEGUN: Final = Facts(first_status="in_progress")
_QUIET: Final = Facts(first_status="in_progress", quiet=True)


def runs(batch: Iterable[tuple[PlanEvent, Entry]]) -> Iterator[list[tuple[PlanEvent, Entry]]]:
    """Split a batch of events of one plan into runs that fit into one append each."""
    run: list[tuple[PlanEvent, Entry]] = []
    size = 0
    for event, entry in batch:
        size += len(entry.payload)
        if run and (size > MAX_APPEND_BYTES or len(run) == MAX_APPEND_EVENTS):
            yield run
            run, size = [], len(entry.payload)
        run.append((event, entry))
    if run:
        yield run


@dataclass(frozen=True, slots=True)
class Appended:
    """The offsets of the entries of an append, in their order."""

    epoch: str
    offsets: Sequence[int]
    checkpoint_due: bool = False


@dataclass(frozen=True, slots=True)
class Head:
    """The head of a plan's log: the events in (floor, offset] can be read."""

    lineage: Lineage = field(default_factory=Lineage)
    offset: int = 0
    floor: int = 0

    @property
    def position(self) -> Position:
        return Position(self.lineage.epoch, self.offset)

    def continuity(self, position: Position) -> Continuity:
        """Whether a reader at `position` can go on with the next event here; if not, why."""
        return self.lineage.continuity(position, self.offset, self.floor)


@dataclass(frozen=True, slots=True)
class Page:
    """Events after an offset: `payloads[i]` has the offset `first + i`."""

    head: Head
    first: int
    payloads: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A snapshot of the plan at a position, as bytes."""

    position: Position
    snapshot: bytes


@dataclass(frozen=True, slots=True)
class PlanEntry:
    """A plan in a list. Times are RFC 3339; `updated_at` is that of the last append."""

    plan_id: str
    head: Position
    status: str
    title: str | None
    progress: float | None
    owner: str | None
    labels: tuple[str, ...]
    created_at: str
    updated_at: str

    @property
    def ended(self) -> bool:
        return self.status in PLAN_ENDED


@dataclass(frozen=True, slots=True)
class PlanPage:
    """A page of plans, the most recently active first. `cursor` gets the next page; None at the end."""

    plans: Sequence[PlanEntry]
    cursor: str | None


class Watcher(Protocol):
    """Receives the events of a plan as they are appended. Called in the event loop; must be quick, and must not raise."""

    def arrived(self, epoch: str, first: int, payloads: Sequence[bytes]) -> None:
        """`payloads` were appended at `first`, `first + 1` ..."""

    def lost(self) -> None:
        """The tail broke: later appends may not arrive."""

    def resumed(self) -> None:
        """The tail works again: later appends arrive; compare heads for those that were missed."""

    def deleted(self) -> None:
        """The plan was deleted."""


class Watch(ABC):
    """The subscription of a watcher to a plan's tail."""

    @abstractmethod
    async def close(self) -> None:
        """End it: the watcher is not called after this has returned. Closing twice is harmless."""


class PlanLog(ABC):
    """The ordered events of many plans, under the contract above. One object belongs to one event loop."""

    @property
    @abstractmethod
    def durability(self) -> Durability:
        """How durable appended events are (L4), as far as the log knows; known after `open`."""

    @property
    def parts(self) -> Mapping[str, Part]:
        """The log's long-lived tasks by name, for health checks and metrics. May be empty."""
        return {}

    @abstractmethod
    async def open(self) -> None:
        """Connect, and check that the log can keep the contract; `LogMisconfigured` if it can't."""

    @abstractmethod
    async def close(self) -> None:
        """Close all connections. Appends under way fail with `LogUnavailable`; watches end without a call."""

    @abstractmethod
    async def append(self, plan_id: str, producer: str, seq: int, entries: Sequence[Entry], facts: Facts) -> Appended:
        """Append the entries, the first of them being the producer's `seq`-th for this plan (L1-L4).

        At most MAX_APPEND_EVENTS entries and MAX_APPEND_BYTES of payload (one entry may always be sent)."""

    @abstractmethod
    async def read(self, plan_id: str, after: int, limit: int = 500, max_bytes: int = 1024 * 1024) -> Page:
        """The events after offset `after` (or after the floor, if that is higher): up to `limit`, and about `max_bytes`, but
        always one if there is one (L5). `page.first` is the offset of the first."""

    @abstractmethod
    async def heads(self, plan_ids: Collection[str]) -> Mapping[str, Head]:
        """The heads of these plans, in one call (L10)."""

    @abstractmethod
    async def watch(self, plan_id: str, watcher: Watcher) -> Watch:
        """Call the watcher for every later append; returns once the log has confirmed that (L6)."""

    @abstractmethod
    async def checkpoint(self, plan_id: str) -> Checkpoint | None:
        """The newest checkpoint kept, if any."""

    @abstractmethod
    async def keep_checkpoint(self, plan_id: str, checkpoint: Checkpoint, window: int) -> bool:
        """Keep it, and trim the events up to `window` before it (L8). False if a newer one is kept, or its position is not
        in the lineage."""

    @abstractmethod
    async def plans(
        self,
        *,
        owner: str | None = None,
        label: str | None = None,
        cursor: str | None = None,
        limit: int = 50,
    ) -> PlanPage:
        """Plans of this owner, or with this label, or all, the most recently active first (L9)."""

    @abstractmethod
    async def delete(self, plan_id: str) -> bool:
        """Delete the plan, and call its watchers. False if there was none."""

    async def head(self, plan_id: str) -> Head:
        """The head of one plan."""
        return (await self.heads([plan_id]))[plan_id]
