"""Snapshots of plans in a log: folded from the newest checkpoint and the events after it, and kept as the next one."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from broadcasters.errors import InvalidEvent, LogUnavailable, SnapshotUnreadable
from broadcasters.events import PlanEvent, parse
from broadcasters.fold import fold
from broadcasters.log import LazyLog
from broadcasters.log.contract import CHECKPOINT_EVERY, Checkpoint, Head, PlanLog
from broadcasters.position import Position
from broadcasters.snapshot import Snapshot, decode, empty, encode

__all__ = ["DEFAULT_WINDOW", "DueCheckpoints", "snapshot_at", "snapshot_in", "snapshot_of", "take_checkpoint"]

DEFAULT_WINDOW: Final = 5_000
"""Events that stay in the log before a checkpoint, for readers that reconnect."""
PATIENCE: Final = 20 * CHECKPOINT_EVERY
"""After this many events, a checkpoint is taken even if it contains some that only newer code can read."""
TRIES: Final = 8
REST_S: Final = 1.0
"""Pause after a checkpoint failed; the next append requests it again."""
CLOSING_S: Final = 2.0
"""Longest time that closing waits for checkpoints."""

_logger = logging.getLogger("broadcasters")


@dataclass(frozen=True, slots=True)
class _Base:
    """A snapshot to fold on from, and its position."""

    snapshot: Snapshot
    position: Position


@dataclass(frozen=True, slots=True)
class _Folded:
    """A snapshot and its head; how many events were folded, and how many of them this code could not read."""

    snapshot: Snapshot
    head: Head
    events: int
    unreadable: int


async def snapshot_of(log: PlanLog, plan_id: str) -> tuple[Snapshot, Head]:
    """Fold the plan, and return the snapshot with its head; a plan without events gives an empty one at offset 0.

    Memory is bounded by the snapshot and one page of events.

    Raises:
        SnapshotUnreadable: The checkpoint can't be read, and the events before it were trimmed.
        LogUnavailable: The log did not answer, or changed on every try.
    """
    folded, _ = await _fold_log(log, plan_id)
    return folded.snapshot, folded.head


async def snapshot_at(log: PlanLog, plan_id: str, offset: int) -> tuple[Snapshot, Position] | None:
    """Fold the plan up to an offset in its past, and return the snapshot with its position.

    Returns:
        None when the log has no event at that offset, or not the events that the snapshot needs any more.

    Raises:
        LogUnavailable: The log did not answer.
    """
    base = _Base(empty(plan_id), Position("", 0))
    kept = await log.checkpoint(plan_id)
    if kept and kept.position.offset <= offset:
        with suppress(SnapshotUnreadable):
            base = _Base(snapshot_in(plan_id, kept), kept.position)
    folded = await _fold_on(log, plan_id, base, offset)
    return (folded.snapshot, folded.head.position) if folded else None


async def take_checkpoint(log: PlanLog, plan_id: str, window: int = DEFAULT_WINDOW) -> bool:
    """Keep a snapshot of the plan as its checkpoint, and trim the events more than `window` before it.

    Returns:
        True when it was kept. False when there are no new events, when another program kept a newer one, or when
        newer code, which can read more of the events, should take it.
    """
    try:
        folded, unreadable = await _fold_log(log, plan_id)
    except SnapshotUnreadable as error:
        if error.newer:
            return False
        raise
    if unreadable and unreadable.newer:
        return False
    if folded.events == 0 or (folded.unreadable and folded.events < PATIENCE):
        return False
    checkpoint = Checkpoint(folded.head.position, encode(folded.snapshot))
    return await log.keep_checkpoint(plan_id, checkpoint, window)


def snapshot_in(plan_id: str, checkpoint: Checkpoint) -> Snapshot:
    """The snapshot of a checkpoint of this plan; `SnapshotUnreadable` when it belongs to another plan or position."""
    snapshot = decode(checkpoint.snapshot)
    if (snapshot.plan_id, snapshot.offset) != (plan_id, checkpoint.position.offset):
        found = f"it belongs to plan {snapshot.plan_id:.128} at offset {snapshot.offset}"
        raise SnapshotUnreadable(f"{found}; expected plan {plan_id} at offset {checkpoint.position.offset}")
    return snapshot


async def _fold_log(log: PlanLog, plan_id: str) -> tuple[_Folded, SnapshotUnreadable | None]:
    """Start again when the log is trimmed, or its lineage changes, between one read and the next.

    A checkpoint that can't be read, or whose position is not in the log, is ignored while the log has all events.
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
    raise LogUnavailable(f"the log of plan {plan_id} changed between two reads in each of {TRIES} tries; try again")


async def _fold_on(log: PlanLog, plan_id: str, base: _Base, upto: int | None = None) -> _Folded | None:
    """Fold from the base up to an offset, or to the head of the first read. None when the events can't be had."""
    snapshot, position, goal = base.snapshot, base.position, upto
    unreadable = 0
    while True:
        page = await log.read(plan_id, position.offset)
        if page.head.continuity(position) != "ok" or page.head.offset < (upto or 0):
            return None
        wanted = page.payloads if upto is None else page.payloads[: upto - position.offset]
        events = [_read(payload) for payload in wanted]
        unreadable += sum(event is None for event in events)
        snapshot = fold(snapshot, page.first, events)
        position = Position(page.head.lineage.epoch, snapshot.offset)
        goal = page.head.offset if goal is None else min(goal, page.head.offset)
        if snapshot.offset >= goal:
            head = Head(page.head.lineage, snapshot.offset, page.head.floor)
            return _Folded(snapshot, head, snapshot.offset - base.position.offset, unreadable)


def _read(payload: bytes) -> PlanEvent | None:
    """None for an event that can't be read, also if its type is known: one event must not hide a plan."""
    try:
        return parse(payload)
    except InvalidEvent:
        return None


class DueCheckpoints:
    """Takes checkpoints that are due, one after the other, in a task of its own that no sender waits for.

    Folding costs processor time, so it pauses between two: it takes at most a fifth of the process.
    """

    def __init__(self, log: LazyLog) -> None:
        self._log = log
        self._due: dict[str, None] = {}
        self._closing = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def add(self, plan_id: str) -> None:
        self._due[plan_id] = None
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._take_all(), name="checkpoints")

    async def close(self) -> None:
        """Take those that are due, within a short time."""
        self._closing.set()
        if self._task:
            await asyncio.wait([self._task], timeout=CLOSING_S)
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _take_all(self) -> None:
        loop = asyncio.get_running_loop()
        while self._due:
            plan_id = next(iter(self._due))
            rest, began = 0.0, loop.time()
            try:
                await self._take(plan_id)
            except Exception as error:
                _logger.warning("no checkpoint of plan %s (%s); a later append requests it again", plan_id, error)
                rest = REST_S
            del self._due[plan_id]
            rest += 4 * (loop.time() - began)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), rest)

    async def _take(self, plan_id: str) -> None:
        log = await self._log.enter()
        try:
            await take_checkpoint(log, plan_id)
        finally:
            self._log.leave()
