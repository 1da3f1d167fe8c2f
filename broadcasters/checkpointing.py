"""Snapshots of plans in a log: made from the newest checkpoint and what follows it, and kept as the next one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from broadcasters.errors import InvalidEvent, LogUnavailable, SnapshotUnreadable
from broadcasters.events import PlanEvent, parse
from broadcasters.log.contract import CHECKPOINT_EVERY, Checkpoint, Head, PlanLog
from broadcasters.position import Position
from broadcasters.snapshot import Snapshot, decode, empty, encode, fold

__all__ = ["DEFAULT_WINDOW", "snapshot_in", "snapshot_of", "take_checkpoint"]

DEFAULT_WINDOW: Final = 5_000
"""So many events stay in the log before a checkpoint, for readers who come back."""
PATIENCE: Final = 20 * CHECKPOINT_EVERY
"""After so many events, a checkpoint no longer waits for newer code that can read all of them."""
TRIES: Final = 8


@dataclass(frozen=True, slots=True)
class _Base:
    """Where folding begins: a snapshot, and the position it was taken at."""

    snapshot: Snapshot
    place: Position


@dataclass(frozen=True, slots=True)
class _Folded:
    """Where it ended; how many events it passed, and how many of them this code could not read."""

    snapshot: Snapshot
    head: Head
    passed: int
    riddles: int


async def snapshot_of(log: PlanLog, plan_id: str) -> tuple[Snapshot, Head]:
    """The plan as it stands, and the head it was folded to: `head.position` is the snapshot's place in the log.

    Of a plan nobody appended to, it is empty, at offset 0. Memory is bounded by the snapshot and one page of events.
    `SnapshotUnreadable`: the checkpoint can't be read, and the log no longer holds the events that it stands for.
    """
    folded, _ = await _fold_log(log, plan_id)
    return folded.snapshot, folded.head


async def take_checkpoint(log: PlanLog, plan_id: str, window: int = DEFAULT_WINDOW) -> bool:
    """Keep a snapshot of the plan as its checkpoint, and let the log forget what is more than `window` before it.

    True when it was kept. False when there was nothing new, when another was quicker, or when newer code, which
    can read more of what was said, should do it.
    """
    try:
        folded, unreadable = await _fold_log(log, plan_id)
    except SnapshotUnreadable as error:
        if error.newer:
            return False
        raise
    if unreadable and unreadable.newer:
        return False
    if folded.passed == 0 or (folded.riddles and folded.passed < PATIENCE):
        return False
    checkpoint = Checkpoint(folded.head.position, encode(folded.snapshot))
    return await log.keep_checkpoint(plan_id, checkpoint, window)


def snapshot_in(plan_id: str, checkpoint: Checkpoint) -> Snapshot:
    """The snapshot of a checkpoint of this plan; `SnapshotUnreadable` when it is of another plan or position."""
    snapshot = decode(checkpoint.snapshot)
    if (snapshot.plan_id, snapshot.offset) != (plan_id, checkpoint.position.offset):
        found = f"it is of plan {snapshot.plan_id:.128} at offset {snapshot.offset}"
        raise SnapshotUnreadable(f"{found}; expected plan {plan_id} at offset {checkpoint.position.offset}")
    return snapshot


async def _fold_log(log: PlanLog, plan_id: str) -> tuple[_Folded, SnapshotUnreadable | None]:
    """Begun again when the log is trimmed, or its lineage changes, between one read and the next.

    A checkpoint that can't be read, or that the log has no place for, is passed over while the log has everything.
    """
    unreadable: SnapshotUnreadable | None = None
    for _ in range(TRIES):
        bases = [_Base(empty(plan_id), Position("", 0))]
        unreadable = None
        if kept := await log.checkpoint(plan_id):
            try:
                bases.insert(0, _Base(snapshot_in(plan_id, kept), kept.position))
            except SnapshotUnreadable as error:
                unreadable = error
        for base in bases:
            if folded := await _fold_on(log, plan_id, base):
                return folded, unreadable
    if unreadable:
        problem = f"{unreadable.problem} (plan {plan_id}; its log was trimmed since)"
        raise SnapshotUnreadable(problem, newer=unreadable.newer)
    raise LogUnavailable(f"the log of plan {plan_id} was never the same for two reads in {TRIES} tries; try again")


async def _fold_on(log: PlanLog, plan_id: str, base: _Base) -> _Folded | None:
    """From the base up to where the log stood at first. None when the log can't be read on from there."""
    snapshot, place = base.snapshot, base.place
    goal: int | None = None
    riddles = 0
    while True:
        page = await log.read(plan_id, place.offset)
        lineage, offset, floor = page.head.lineage, page.head.offset, page.head.floor
        if page.head.continuity(place) != "ok":
            return None
        events = [_read(payload) for payload in page.payloads]
        riddles += sum(event is None for event in events)
        snapshot = fold(snapshot, page.first, events)
        place = Position(lineage.epoch, snapshot.offset)
        goal = offset if goal is None else min(goal, offset)
        if snapshot.offset >= goal:
            head = Head(lineage, snapshot.offset, floor)
            return _Folded(snapshot, head, snapshot.offset - base.place.offset, riddles)


def _read(payload: bytes) -> PlanEvent | None:
    """None, too, for an event of a known type that can't be read: one event must not hide a plan."""
    try:
        return parse(payload)
    except InvalidEvent:
        return None
