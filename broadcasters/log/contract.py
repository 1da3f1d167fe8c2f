"""The promises of a plan's log. Every log keeps all of them; one suite (tests/contract) holds each log to each promise.

L1  Order. The events of a plan have offsets 1, 2, 3 ... without hole or duplicate, in the order they were appended. The
    events of one append are neighbours.
L2  Append is one atomic step: deduplicate, next offset, store, tell the watchers. It happens whole or not at all.
L3  Once. An append is known by (producer, seq): repeating it (after a lost reply, on another connection, after a
    restart) answers with the first offsets and stores nothing. A producer has one append of a plan under way at a time
    and repeats just that one, alone or with more behind it; what comes late from before it is not stored any more.
    An entry with a `key` that the plan already has is answered with the first offset, whoever sends it.
L4  Kept. When append returns, the events are as durable as the log says it is (`durability`).
L5  Read gives what is stored after an offset: neighbours from there on, in order, at most as much as asked, never an
    empty page while there is more. With it, in one consistent view: lineage, head and floor.
L6  Watch. When `watch` has returned, every later append reaches the watcher, in order per append, or else the watcher
    is told that the tail was lost, and again when it stands (`resumed`); in between anything may be missing, and a
    message may be lost even without notice: whoever needs all of them compares offsets and reads. A watcher is called
    in the event loop, quickly, and never raises. It may be told of an event twice.
L7  Lineage. Every event belongs to an epoch. When the log's server was replaced or restarted, the next append begins a
    new epoch, and the lineage says at which offset the old one ended. When the log was lost (or the plan deleted) and
    begun again, it has a fresh lineage that contains no older epoch.
L8  Bounded. A checkpoint (the snapshot at an offset) is kept with the plan; the newest one wins. Only what a checkpoint
    covers is ever trimmed: `floor` never passes the checkpoint's offset, and offsets keep counting.
L9  Index. Plans are found by owner, by label, and all of them, the last active first. A plan is in the index before its
    first append returns.
L10 Nothing is created by reading, and a plan nobody appended to has the head `(Lineage(), 0, 0)`.
L11 Errors. `LogUnavailable`: may be tried again, and it is unknown whether it was stored (L3 makes the repetition
    safe). `LogFull`, `LogMisconfigured`: was not stored. Plan ids are checked before anything is sent. No log retries
    an append by itself: its caller does, under L3.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol

from broadcasters.events import PLAN_ENDED, PlanEvent, PlanUpdate
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
"""An append that leaves this many events after the last checkpoint is answered with `checkpoint_due`."""

Durability = Literal["memory", "second", "disk", "replicated"]
"""What an append's return means: stored in memory; on disk within a second; on disk; and on a replica as well."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One event on its way into the log: its payload, and a key when its sender wants it at most once for ever."""

    payload: bytes
    key: str | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """The few things of a plan that lists show, known without folding it. None: nothing new is said of it."""

    status: str | None = None
    first_status: str | None = None
    """Counts only while the plan has no status yet: something happens, so it is in progress."""
    title: str | None = None
    progress: float | None = None
    owner: str | None = None
    labels: tuple[str, ...] | None = None


def facts_of(events: Sequence[PlanEvent]) -> Facts:
    """What these events say for lists; the last word counts."""
    said: dict[str, object] = {}
    for event in events:
        if not isinstance(event, PlanUpdate):
            continue
        if event.step_id is None:
            said["status"] = event.status
            if event.progress is not None:
                said["progress"] = event.progress
            elif event.status == "completed":
                said["progress"] = 100.0
        if event.title is not None and event.step_id is None:
            said["title"] = event.title
        if event.owner is not None:
            said["owner"] = event.owner
        if event.labels is not None:
            said["labels"] = tuple(event.labels)
    return Facts(first_status="in_progress", **said) if said else _BEGUN  # type: ignore[arg-type]


_BEGUN: Final = Facts(first_status="in_progress")


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
    """Where the entries of an append stand, in their order."""

    epoch: str
    offsets: Sequence[int]
    checkpoint_due: bool = False


@dataclass(frozen=True, slots=True)
class Head:
    """Where a plan's log stands: events in (floor, offset] can be read."""

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
    """Events that follow an offset: `payloads[i]` stands at `first + i`."""

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
    """A plan as a list shows it. Times are RFC 3339; `updated_at` is that of the last append."""

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
    """Some plans, the last active first; `cursor` asks for those that follow, and is None at the end."""

    plans: Sequence[PlanEntry]
    cursor: str | None


class Watcher(Protocol):
    """Whoever wants to hear of a plan at once. Called in the event loop; does little; never raises."""

    def arrived(self, epoch: str, first: int, payloads: Sequence[bytes]) -> None:
        """`payloads` were appended at `first`, `first + 1` ..."""

    def lost(self) -> None:
        """The tail broke: what is appended from here on may not be told."""

    def resumed(self) -> None:
        """The tail stands again: later appends are told; compare heads for what was missed."""

    def deleted(self) -> None:
        """The plan was deleted."""


class Watch(ABC):
    """A watcher's hold on a plan's tail."""

    @abstractmethod
    async def close(self) -> None:
        """No call to the watcher after this has returned. Closing twice is harmless."""


class PlanLog(ABC):
    """The ordered events of many plans. See the promises above. One object belongs to one event loop."""

    @property
    @abstractmethod
    def durability(self) -> Durability:
        """What L4 means here, as far as the log can tell (known after `open`)."""

    @property
    def parts(self) -> Mapping[str, Part]:
        """The log's long-lived work, by name, as health checks and metrics show it. May be empty."""
        return {}

    @abstractmethod
    async def open(self) -> None:
        """Connect and make sure that the log can keep its promises. `LogMisconfigured` says why it can't."""

    @abstractmethod
    async def close(self) -> None:
        """Let go of everything. Appends under way fail with `LogUnavailable`; watches end without a word."""

    @abstractmethod
    async def append(self, plan_id: str, producer: str, seq: int, entries: Sequence[Entry], facts: Facts) -> Appended:
        """Append the entries, the first of them being the producer's `seq`-th for this plan (L1-L4).

        At most MAX_APPEND_EVENTS entries and MAX_APPEND_BYTES of payload (one entry may always be sent)."""

    @abstractmethod
    async def read(self, plan_id: str, after: int, limit: int = 500, max_bytes: int = 1024 * 1024) -> Page:
        """What follows offset `after` (or the floor, if that is higher): up to `limit` events, and about `max_bytes`,
        though always one if there is one (L5). `page.first` says where it begins."""

    @abstractmethod
    async def heads(self, plan_ids: Collection[str]) -> Mapping[str, Head]:
        """Where these plans stand, in one trip (L10)."""

    @abstractmethod
    async def watch(self, plan_id: str, watcher: Watcher) -> Watch:
        """Tell the watcher of every append from now on; returns once the log has acknowledged that (L6)."""

    @abstractmethod
    async def checkpoint(self, plan_id: str) -> Checkpoint | None:
        """The newest checkpoint kept, if any."""

    @abstractmethod
    async def keep_checkpoint(self, plan_id: str, checkpoint: Checkpoint, window: int) -> bool:
        """Keep it, unless a newer one is kept or its position is not in the lineage (then False), and trim the events
        up to `window` before it (L8)."""

    @abstractmethod
    async def plans(
        self,
        *,
        owner: str | None = None,
        label: str | None = None,
        cursor: str | None = None,
        limit: int = 50,
    ) -> PlanPage:
        """Plans of this owner, or with this label, or all, the last active first (L9)."""

    @abstractmethod
    async def delete(self, plan_id: str) -> bool:
        """Forget the plan; its watchers are told. False when there was none."""

    async def head(self, plan_id: str) -> Head:
        """Where the plan stands."""
        return (await self.heads([plan_id]))[plan_id]
