"""How a plan is laid out in Redis: the names of its keys, and the fields of its hash that lists show."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple
from urllib.parse import quote

from broadcasters.events import timestamp
from broadcasters.log.contract import Facts, Head, PlanEntry
from broadcasters.log.redis.link import Argument
from broadcasters.position import Lineage, Position

__all__ = ["HEAD", "LISTED", "Keys", "PlanKeys", "entry_from", "fields_of", "head_from", "labels_from", "lineage_from"]

HEAD: Final = ("epoch", "lineage", "offset", "floor")
"""The fields that `head_from` reads, in its order."""
LISTED: Final = ("epoch", "offset", "status", "title", "progress", "owner", "labels", "created", "updated")
"""The fields that `entry_from` reads, in its order."""


class PlanKeys(NamedTuple):
    """The keys of one plan. Its id is their hash tag, so all of them, and its channel, share a slot."""

    log: str
    meta: str
    keys: str
    checkpoint: str
    live: str


class Keys:
    """Names of keys and channels, each beginning with the log's prefix."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix

    def plan(self, plan_id: str) -> PlanKeys:
        stem = f"{self.prefix}:{{{plan_id}}}:"
        return PlanKeys(stem + "log", stem + "meta", stem + "keys", stem + "checkpoint", stem + "live")

    def index(self, owner: str | None = None, label: str | None = None) -> str:
        """The index of an owner's plans, else of the plans with a label, else of all plans."""
        if owner is not None:
            return f"{self.prefix}:index:owner:{quote(owner, safe='')}"
        return f"{self.prefix}:index:all" if label is None else f"{self.prefix}:index:label:{quote(label, safe='')}"


def fields_of(facts: Facts) -> list[Argument]:
    """The facts that are known, as name, value, name, value …"""
    fields: list[Argument] = []
    for name, value in (("status", facts.status), ("title", facts.title), ("owner", facts.owner)):
        if value is not None:
            fields += (name, value)
    if facts.progress is not None:
        fields += ("progress", repr(facts.progress))
    if facts.labels is not None:
        fields += ("labels", json.dumps(facts.labels))
    return fields


def labels_from(value: bytes | None) -> tuple[str, ...]:
    return tuple(json.loads(value)) if value else ()


def lineage_from(epoch: bytes, ended: bytes | None) -> Lineage:
    """`ended` is `epoch:offset epoch:offset …`, oldest first."""
    pairs = (one.partition(":") for one in (ended or b"").decode().split())
    return Lineage(epoch.decode(), tuple((old, int(end)) for old, _, end in pairs))


def head_from(values: Sequence[bytes | None]) -> Head:
    epoch, ended, offset, floor = values
    return Head() if epoch is None else Head(lineage_from(epoch, ended), int(offset or 0), int(floor or 0))


def entry_from(plan_id: str, values: Sequence[bytes | None]) -> PlanEntry | None:
    """The plan as a list shows it; None if it does not exist."""
    epoch, offset, status, title, progress, owner, labels, created, updated = values
    if epoch is None or offset is None:
        return None
    return PlanEntry(
        plan_id=plan_id,
        head=Position(epoch.decode(), int(offset)),
        status=_text(status) or "pending",
        title=_text(title),
        progress=None if progress is None else float(progress),
        owner=_text(owner),
        labels=labels_from(labels),
        created_at=_time(created),
        updated_at=_time(updated),
    )


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode()


def _time(ms: bytes | None) -> str:
    return timestamp(datetime.fromtimestamp(int(ms or 0) / 1000, UTC))
