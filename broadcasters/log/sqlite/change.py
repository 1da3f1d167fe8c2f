"""What changes a plan in the embedded log besides appending: checkpoints with trimming, deletion, and age."""

from __future__ import annotations

import sqlite3
import time

from broadcasters.log.contract import Checkpoint
from broadcasters.log.sqlite.file import LAST_OFFSET, place_of
from broadcasters.log.sqlite.read import lineage_of

__all__ = ["delete_idle", "delete_plan", "keep"]

DELETIONS_KEPT_MS = 86_400_000
"""How long a deletion is on record for the tails of other processes."""


def keep(db: sqlite3.Connection, plan_id: str, checkpoint: Checkpoint, window: int) -> bool:
    """Keep the checkpoint, if it is of this plan's lineage and none newer is kept; trim up to `window` before it."""
    row = db.execute(
        "SELECT no, epoch, ended, head, floor, checkpoint FROM plans WHERE plan_id = ?", (plan_id,)
    ).fetchone()
    if row is None:
        return False
    no, epoch, ended, head, floor, kept = row
    place = checkpoint.position
    if place.offset < kept or lineage_of(epoch, ended).continuity(place, head, 0) != "ok":
        return False
    floor = max(floor, place.offset - max(window, 0))
    db.execute(
        "INSERT INTO checkpoints VALUES (?, ?, ?, ?)"
        " ON CONFLICT DO UPDATE SET epoch = excluded.epoch, offset = excluded.offset, snapshot = excluded.snapshot",
        (no, place.epoch, place.offset, checkpoint.snapshot),
    )
    db.execute("UPDATE plans SET checkpoint = ?, floor = ? WHERE no = ?", (place.offset, floor, no))
    db.execute("DELETE FROM events WHERE place > ? AND place <= ?", (place_of(no, 0), place_of(no, floor)))
    return True


def delete_plan(db: sqlite3.Connection, plan_id: str) -> bool:
    """Forget the plan, and leave word of it for the tails."""
    row = db.execute("SELECT no FROM plans WHERE plan_id = ?", (plan_id,)).fetchone()
    if row is None:
        return False
    (no,) = row
    db.execute("DELETE FROM events WHERE place > ? AND place <= ?", (place_of(no, 0), place_of(no, LAST_OFFSET)))
    for table in ("producers", "keys", "labels", "checkpoints", "plans"):
        db.execute(f"DELETE FROM {table} WHERE no = ?", (no,))  # noqa: S608 - fixed text only
    now_ms = int(time.time() * 1000)
    db.execute("UPDATE log SET activity = activity + 1")
    db.execute("INSERT INTO deletions SELECT activity, ?, ? FROM log", (plan_id, now_ms))
    db.execute("DELETE FROM deletions WHERE at_ms < ?", (now_ms - DELETIONS_KEPT_MS,))
    return True


def delete_idle(db: sqlite3.Connection, ttl_s: float, limit: int) -> int:
    """Delete plans nothing was said of for so long: up to `limit` of them. How many these were."""
    before_ms = int((time.time() - ttl_s) * 1000)
    oldest = db.execute("SELECT plan_id, updated_ms FROM plans ORDER BY activity LIMIT ?", (limit,)).fetchall()
    idle = [plan_id for plan_id, updated_ms in oldest if updated_ms < before_ms]
    for plan_id in idle:
        delete_plan(db, plan_id)
    return len(idle)
