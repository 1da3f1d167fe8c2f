"""The statements of the embedded log other than appends: pages, heads, lists of plans, checkpoints, deletion."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from broadcasters.errors import InvalidEvent
from broadcasters.events import timestamp
from broadcasters.log.contract import Checkpoint, Head, Page, PlanEntry, PlanPage
from broadcasters.log.sqlite.file import LAST_OFFSET, event_key
from broadcasters.position import Lineage, Position

__all__ = ["checkpoint_of", "delete_idle", "delete_plan", "heads_of", "keep_checkpoint", "page_of", "plans_of"]

DELETIONS_KEPT_MS: Final = 86_400_000
"""How long a deletion is recorded for the tails of other processes."""


def _lineage(epoch: str, ended: str) -> Lineage:
    """A lineage from its two columns."""
    return Lineage(epoch, tuple((old, offset) for old, offset in json.loads(ended)))


def _events_after(db: sqlite3.Connection, no: int, after: int, limit: int, max_bytes: int) -> list[bytes]:
    """Payloads of the plan's events after `after`: up to `limit`, and about `max_bytes`, but always one if there is one."""
    rows = db.execute(
        "SELECT payload FROM events WHERE place > ? AND place <= ? ORDER BY place LIMIT ?",
        (event_key(no, after), event_key(no, LAST_OFFSET), limit),
    )
    payloads: list[bytes] = []
    for (payload,) in rows:
        max_bytes -= len(payload)
        if max_bytes < 0 and payloads:
            break
        payloads.append(payload)
    rows.close()
    return payloads


def page_of(db: sqlite3.Connection, plan_id: str, after: int, limit: int, max_bytes: int) -> Page:
    """A page, with the head in the same view."""
    db.execute("BEGIN")
    try:
        row = db.execute("SELECT no, epoch, ended, head, floor FROM plans WHERE plan_id = ?", (plan_id,)).fetchone()
        if row is None:
            return Page(Head(), max(after, 0) + 1, ())
        no, epoch, ended, head, floor = row
        after = max(after, floor)
        payloads = _events_after(db, no, after, max(limit, 1), max_bytes) if after < head else []
        return Page(Head(_lineage(epoch, ended), head, floor), after + 1, payloads)
    finally:
        db.execute("COMMIT")


def heads_of(db: sqlite3.Connection, plan_ids: Collection[str]) -> Mapping[str, Head]:
    rows = db.execute(
        "SELECT plan_id, epoch, ended, head, floor FROM plans WHERE plan_id IN (SELECT value FROM json_each(?))",
        (json.dumps(list(plan_ids)),),
    )
    known = {row[0]: Head(_lineage(row[1], row[2]), row[3], row[4]) for row in rows}
    return {plan_id: known.get(plan_id) or Head() for plan_id in plan_ids}


def checkpoint_of(db: sqlite3.Connection, plan_id: str) -> Checkpoint | None:
    row = db.execute(
        "SELECT c.epoch, c.offset, c.snapshot FROM plans p JOIN checkpoints c ON c.no = p.no WHERE p.plan_id = ?",
        (plan_id,),
    ).fetchone()
    return Checkpoint(Position(row[0], row[1]), row[2]) if row else None


def plans_of(db: sqlite3.Connection, owner: str | None, label: str | None, cursor: str | None, limit: int) -> PlanPage:
    """A page of plans, the last active first.

    The cursor is a position in the order of activity: a plan that becomes active meanwhile moves to the front, into the
    first page; none is listed twice.
    """
    limit = max(limit, 1)
    rows = _plan_rows(db, owner, label, _activity(cursor), limit + 1)
    more = len(rows) > limit
    rows = rows[:limit]
    return PlanPage([_entry(row) for row in rows], str(rows[-1][0]) if more else None)


def _plan_rows(
    db: sqlite3.Connection, owner: str | None, label: str | None, before: int, limit: int
) -> Sequence[tuple[Any, ...]]:
    where, args = ["activity < ?"], list[int | str]([before])
    if owner is not None:
        where.append("owner = ?")
        args.append(owner)
    if label is not None:
        where.append("no IN (SELECT no FROM labels WHERE label = ?)")
        args.append(label)
    columns = "activity, plan_id, epoch, head, status, title, progress, owner, labels, created_ms, updated_ms"
    query = f"SELECT {columns} FROM plans WHERE {' AND '.join(where)} ORDER BY activity DESC LIMIT ?"  # noqa: S608 - fixed text
    return db.execute(query, (*args, limit)).fetchall()


def _activity(cursor: str | None) -> int:
    if cursor is None:
        return 2**62
    if not cursor.isdecimal() or len(cursor) > 18:
        raise InvalidEvent("cursor", "expected one that a list of plans returned")
    return int(cursor)


def _entry(row: tuple[Any, ...]) -> PlanEntry:
    _, plan_id, epoch, head, status, title, progress, owner, labels, created_ms, updated_ms = row
    return PlanEntry(
        plan_id=plan_id,
        head=Position(epoch, head),
        status=status or "pending",
        title=title,
        progress=progress,
        owner=owner,
        labels=tuple(json.loads(labels)) if labels else (),
        created_at=_moment(created_ms),
        updated_at=_moment(updated_ms),
    )


def _moment(ms: int) -> str:
    return timestamp(datetime.fromtimestamp(ms / 1000, UTC))


def keep_checkpoint(db: sqlite3.Connection, plan_id: str, checkpoint: Checkpoint, window: int) -> bool:
    """Keep a checkpoint, if its position is in the plan's lineage and none is newer; trim up to `window` before it."""
    row = db.execute(
        "SELECT no, epoch, ended, head, floor, checkpoint FROM plans WHERE plan_id = ?", (plan_id,)
    ).fetchone()
    if row is None:
        return False
    no, epoch, ended, head, floor, kept = row
    position = checkpoint.position
    if position.offset < kept or _lineage(epoch, ended).continuity(position, head, 0) != "ok":
        return False
    floor = max(floor, position.offset - max(window, 0))
    db.execute(
        "INSERT INTO checkpoints VALUES (?, ?, ?, ?)"
        " ON CONFLICT DO UPDATE SET epoch = excluded.epoch, offset = excluded.offset, snapshot = excluded.snapshot",
        (no, position.epoch, position.offset, checkpoint.snapshot),
    )
    db.execute("UPDATE plans SET checkpoint = ?, floor = ? WHERE no = ?", (position.offset, floor, no))
    db.execute("DELETE FROM events WHERE place > ? AND place <= ?", (event_key(no, 0), event_key(no, floor)))
    return True


def delete_plan(db: sqlite3.Connection, plan_id: str) -> bool:
    """Delete the plan, and record the deletion for the tails."""
    row = db.execute("SELECT no FROM plans WHERE plan_id = ?", (plan_id,)).fetchone()
    if row is None:
        return False
    (no,) = row
    db.execute("DELETE FROM events WHERE place > ? AND place <= ?", (event_key(no, 0), event_key(no, LAST_OFFSET)))
    for table in ("producers", "keys", "labels", "checkpoints", "plans"):
        db.execute(f"DELETE FROM {table} WHERE no = ?", (no,))  # noqa: S608 - fixed text only
    now_ms = int(time.time() * 1000)
    db.execute("UPDATE log SET activity = activity + 1")
    db.execute("INSERT INTO deletions SELECT activity, ?, ? FROM log", (plan_id, now_ms))
    db.execute("DELETE FROM deletions WHERE at_ms < ?", (now_ms - DELETIONS_KEPT_MS,))
    return True


def delete_idle(db: sqlite3.Connection, ttl_s: float, limit: int) -> int:
    """Delete up to `limit` plans without an event for `ttl_s` seconds. Returns how many were deleted."""
    before_ms = int((time.time() - ttl_s) * 1000)
    oldest = db.execute("SELECT plan_id, updated_ms FROM plans ORDER BY activity LIMIT ?", (limit,)).fetchall()
    idle = [plan_id for plan_id, updated_ms in oldest if updated_ms < before_ms]
    for plan_id in idle:
        delete_plan(db, plan_id)
    return len(idle)
