"""What is read from the embedded log: pages of a plan, heads, lists of plans, checkpoints."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from broadcasters.errors import InvalidEvent
from broadcasters.events import timestamp
from broadcasters.log.contract import Checkpoint, Head, Page, PlanEntry, PlanPage
from broadcasters.log.sqlite.file import LAST_OFFSET, place_of
from broadcasters.position import Lineage, Position

__all__ = ["checkpoint_of", "heads_of", "lineage_of", "page_of", "plans_of"]


def lineage_of(epoch: str, ended: str) -> Lineage:
    """The lineage from its two columns."""
    return Lineage(epoch, tuple((old, offset) for old, offset in json.loads(ended)))


def _events_after(db: sqlite3.Connection, no: int, after: int, limit: int, max_bytes: int) -> list[bytes]:
    """Payloads of the plan's events behind `after`: at most `limit`, about `max_bytes`, one if there is one."""
    rows = db.execute(
        "SELECT payload FROM events WHERE place > ? AND place <= ? ORDER BY place LIMIT ?",
        (place_of(no, after), place_of(no, LAST_OFFSET), limit),
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
    """A page and the head it was read under, in one view."""
    db.execute("BEGIN")
    try:
        row = db.execute("SELECT no, epoch, ended, head, floor FROM plans WHERE plan_id = ?", (plan_id,)).fetchone()
        if row is None:
            return Page(Head(), max(after, 0) + 1, ())
        no, epoch, ended, head, floor = row
        after = max(after, floor)
        payloads = _events_after(db, no, after, max(limit, 1), max_bytes) if after < head else []
        return Page(Head(lineage_of(epoch, ended), head, floor), after + 1, payloads)
    finally:
        db.execute("COMMIT")


def heads_of(db: sqlite3.Connection, plan_ids: Collection[str]) -> Mapping[str, Head]:
    rows = db.execute(
        "SELECT plan_id, epoch, ended, head, floor FROM plans WHERE plan_id IN (SELECT value FROM json_each(?))",
        (json.dumps(list(plan_ids)),),
    )
    known = {row[0]: Head(lineage_of(row[1], row[2]), row[3], row[4]) for row in rows}
    return {plan_id: known.get(plan_id) or Head() for plan_id in plan_ids}


def checkpoint_of(db: sqlite3.Connection, plan_id: str) -> Checkpoint | None:
    row = db.execute(
        "SELECT c.epoch, c.offset, c.snapshot FROM plans p JOIN checkpoints c ON c.no = p.no WHERE p.plan_id = ?",
        (plan_id,),
    ).fetchone()
    return Checkpoint(Position(row[0], row[1]), row[2]) if row else None


def plans_of(db: sqlite3.Connection, owner: str | None, label: str | None, cursor: str | None, limit: int) -> PlanPage:
    """A page of plans, the last active first.

    The cursor is the place in the order of activity: a plan that becomes active meanwhile moves to the front, where
    the first page shows it; none is listed twice.
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
        raise InvalidEvent("cursor", "not one that a list of plans has given")
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
