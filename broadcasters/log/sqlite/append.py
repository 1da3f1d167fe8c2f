"""Appends as rows: deduplicated, numbered and stored, many in one transaction."""

from __future__ import annotations

import json
import secrets
import sqlite3
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from broadcasters.errors import LogFull
from broadcasters.log.contract import CHECKPOINT_EVERY, Appended, Entry, Facts
from broadcasters.log.sqlite.file import LAST_OFFSET, event_key

__all__ = ["Append", "Appender"]

EPOCHS_KEPT: Final = 16
MAX_REMEMBERED: Final = 4096
"""Plans, and producers of one plan, whose state is cached between transactions."""


class Append(NamedTuple):
    """The arguments of one append."""

    plan_id: str
    producer: str
    seq: int
    entries: Sequence[Entry]
    facts: Facts


@dataclass(slots=True)
class _LastAppend:
    """A producer's last append: the offsets of its `seq`-th entry and those after it."""

    seq: int
    offsets: Sequence[int]


@dataclass(slots=True)
class _PlanRow:
    """The state of a plan that appends need."""

    no: int
    epoch: str
    incarnation: int
    head: int
    checkpoint: int
    status: str | None
    last: dict[str, _LastAppend | None] = field(default_factory=dict[str, "_LastAppend | None"])


class Appender:
    """Stores appends. Its cache is valid while no other connection has written to the file (PRAGMA data_version)."""

    def __init__(self) -> None:
        self._plans: dict[str, _PlanRow] = {}
        self._db: sqlite3.Connection | None = None
        self._version = -1

    def invalidate(self, plan_id: str | None = None) -> None:
        """Drop what is cached of this plan, or of all plans."""
        if plan_id is None:
            self._plans.clear()
        else:
            self._plans.pop(plan_id, None)

    def append(self, db: sqlite3.Connection, appends: Sequence[Append]) -> list[Appended]:
        """Store the appends within the transaction that the caller has begun.

        If it is not committed, the caller must call `invalidate`.
        """
        self._check_version(db)
        group = _Group(db)
        answers = [group.add(self._plan(append.plan_id, group), append) for append in appends]
        group.store()
        return answers

    def _check_version(self, db: sqlite3.Connection) -> None:
        (version,) = db.execute("PRAGMA data_version").fetchone()
        if db is not self._db or version != self._version or len(self._plans) > MAX_REMEMBERED:
            self._plans.clear()
            self._db, self._version = db, version

    def _plan(self, plan_id: str, group: _Group) -> _PlanRow:
        plan = self._plans.get(plan_id)
        if plan is None:
            plan = self._plans[plan_id] = group.stored_plan(plan_id) or group.begin_plan(plan_id)
        return plan


class _Group:
    """The rows of one transaction, gathered append by append and stored together."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._now_ms = int(time.time() * 1000)
        self._activity, self._incarnation = db.execute("SELECT activity, incarnation FROM log").fetchone()
        self._events: list[tuple[int, bytes]] = []
        self._keys: dict[tuple[int, str], int] = {}
        self._last: dict[tuple[int, str], _LastAppend] = {}
        self._touched: dict[int, _PlanRow] = {}
        self._active: dict[int, _PlanRow] = {}
        """Those of which more than signs of life was appended."""
        self._facts: list[tuple[int, str | None, Facts]] = []

    def stored_plan(self, plan_id: str) -> _PlanRow | None:
        row = self._db.execute(
            "SELECT no, epoch, incarnation, head, checkpoint, status FROM plans WHERE plan_id = ?", (plan_id,)
        ).fetchone()
        return _PlanRow(*row) if row else None

    def begin_plan(self, plan_id: str) -> _PlanRow:
        """Insert the row of a new plan, with an epoch that was never used before."""
        epoch = secrets.token_hex(4)
        self._activity += 1
        row = self._db.execute(
            "INSERT INTO plans (plan_id, epoch, ended, incarnation, head, floor, checkpoint, activity, created_ms,"
            " updated_ms) VALUES (?, ?, '[]', ?, 0, 0, 0, ?, ?, ?)",
            (plan_id, epoch, self._incarnation, self._activity, self._now_ms, self._now_ms),
        )
        assert row.lastrowid is not None  # noqa: S101 - an INSERT has one
        return _PlanRow(row.lastrowid, epoch, self._incarnation, 0, 0, None)

    def _begin_epoch(self, plan: _PlanRow) -> None:
        """The file was restored from a copy: readers that have more than the copy must notice (L7)."""
        (ended,) = self._db.execute("SELECT ended FROM plans WHERE no = ?", (plan.no,)).fetchone()
        lineage = [*json.loads(ended), (plan.epoch, plan.head)][-EPOCHS_KEPT:]
        plan.epoch, plan.incarnation = secrets.token_hex(4), self._incarnation
        self._db.execute(
            "UPDATE plans SET epoch = ?, ended = ?, incarnation = ? WHERE no = ?",
            (plan.epoch, json.dumps(lineage), plan.incarnation, plan.no),
        )

    def add(self, plan: _PlanRow, append: Append) -> Appended:
        """Assign offsets to the append: those it has already, or the next ones."""
        last = self._last_append(plan, append.producer)
        known = _known(last, append.seq, len(append.entries)) if last else ()
        before = plan.head
        if len(known) == len(append.entries):
            offsets: Sequence[int] = known
        else:
            if plan.incarnation != self._incarnation:
                self._begin_epoch(plan)
            offsets = self._place(plan, append.entries, known)
            self._remember(plan, append, offsets)
        if plan.head > before:
            if not append.facts.quiet or not before:
                self._active.pop(plan.no, None)  # the one touched last comes last
                self._active[plan.no] = plan
            self._touched[plan.no] = plan
            self._note_facts(plan, append.facts)
        return Appended(plan.epoch, offsets, plan.head - plan.checkpoint >= CHECKPOINT_EVERY)

    def store(self) -> None:
        """Store everything with a few statements, however many appends there are."""
        db = self._db
        db.executemany("INSERT INTO events VALUES (?, ?)", self._events)
        db.executemany("INSERT INTO keys VALUES (?, ?, ?)", [(*key, offset) for key, offset in self._keys.items()])
        db.executemany(
            "INSERT INTO producers VALUES (?, ?, ?, ?)"
            " ON CONFLICT DO UPDATE SET seq = excluded.seq, offsets = excluded.offsets",
            [(*who, last.seq, _packed(last.offsets)) for who, last in self._last.items()],
        )
        first = self._activity + 1
        db.executemany(
            "UPDATE plans SET head = ?, activity = ?, updated_ms = ? WHERE no = ?",
            [(plan.head, at, self._now_ms, plan.no) for at, plan in enumerate(self._active.values(), first)],
        )
        quiet = [plan for no, plan in self._touched.items() if no not in self._active]
        db.executemany(
            "UPDATE plans SET head = ?, updated_ms = ? WHERE no = ?",
            [(plan.head, self._now_ms, plan.no) for plan in quiet],
        )
        self._store_facts()
        db.execute("UPDATE log SET activity = ?", (self._activity + len(self._active),))

    def _last_append(self, plan: _PlanRow, producer: str) -> _LastAppend | None:
        if producer not in plan.last:
            if len(plan.last) > MAX_REMEMBERED:
                plan.last.clear()
            # What this group adds is in _said before it is in the table.
            plan.last[producer] = self._last.get((plan.no, producer)) or self._stored_append(plan.no, producer)
        return plan.last[producer]

    def _stored_append(self, no: int, producer: str) -> _LastAppend | None:
        row = self._db.execute(
            "SELECT seq, offsets FROM producers WHERE no = ? AND producer = ?", (no, producer)
        ).fetchone()
        return _LastAppend(row[0], _unpacked(row[1])) if row else None

    def _place(self, plan: _PlanRow, entries: Sequence[Entry], known: Sequence[int]) -> Sequence[int]:
        new = entries[len(known) :] if known else entries
        head = plan.head
        if head + len(new) > LAST_OFFSET:
            raise LogFull(f"a plan has at most {LAST_OFFSET:,} events; nothing was stored")
        if any(entry.key is not None for entry in new):
            return [*known, *[self._place_keyed(plan, entry) for entry in new]]
        start = event_key(plan.no, head + 1)
        self._events += [(key, entry.payload) for key, entry in enumerate(new, start)]
        plan.head = head + len(new)
        offsets = range(head + 1, plan.head + 1)
        return [*known, *offsets] if known else offsets

    def _place_keyed(self, plan: _PlanRow, entry: Entry) -> int:
        if entry.key is not None:
            offset = self._keys.get((plan.no, entry.key)) or self._stored_key(plan.no, entry.key)
            if offset:
                return offset
            self._keys[plan.no, entry.key] = plan.head + 1
        plan.head += 1
        self._events.append((event_key(plan.no, plan.head), entry.payload))
        return plan.head

    def _stored_key(self, no: int, key: str) -> int:
        row = self._db.execute("SELECT offset FROM keys WHERE no = ? AND key = ?", (no, key)).fetchone()
        return row[0] if row else 0

    def _remember(self, plan: _PlanRow, append: Append, offsets: Sequence[int]) -> None:
        last = _LastAppend(append.seq, offsets)
        plan.last[append.producer] = last
        self._last[plan.no, append.producer] = last

    def _note_facts(self, plan: _PlanRow, facts: Facts) -> None:
        status = facts.status or (facts.first_status if plan.status is None else None)
        if status is not None or _more_than_status(facts):
            plan.status = status or plan.status
            self._facts.append((plan.no, status, facts))

    def _store_facts(self) -> None:
        for no, status, facts in self._facts:
            labels = None if facts.labels is None else json.dumps(facts.labels)
            self._db.execute(
                "UPDATE plans SET status = coalesce(?, status), title = coalesce(?, title),"
                " progress = coalesce(?, progress), owner = coalesce(?, owner), labels = coalesce(?, labels)"
                " WHERE no = ?",
                (status, facts.title, facts.progress, facts.owner, labels, no),
            )
            if facts.labels is not None:
                self._db.execute("DELETE FROM labels WHERE no = ?", (no,))
                self._db.executemany("INSERT OR IGNORE INTO labels VALUES (?, ?)", [(one, no) for one in facts.labels])


def _more_than_status(facts: Facts) -> bool:
    return not (facts.title is None and facts.progress is None and facts.owner is None and facts.labels is None)


def _known(last: _LastAppend, seq: int, count: int) -> Sequence[int]:
    """The offsets of those entries that the producer has appended before: all, the first of them, or none.

    Entries from before its last append arrive too late and are not stored; their offsets, which no one awaits, are 0.
    """
    skipped = seq - last.seq
    if skipped >= 0:
        return last.offsets[skipped : skipped + count]
    late = min(-skipped, count)
    return [*[0] * late, *last.offsets[: count - late]]


def _packed(offsets: Sequence[int]) -> str:
    """`3-5` for consecutive offsets, which they are unless some entries were known by their keys."""
    return f"{offsets[0]}-{offsets[-1]}" if isinstance(offsets, range) else json.dumps(list(offsets))


def _unpacked(text: str) -> Sequence[int]:
    if text.startswith("["):
        return list(json.loads(text))
    first, _, last = text.partition("-")
    return range(int(first), int(last) + 1)
