"""What lists show of a plan, as fields of its bookkeeping."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from broadcasters.events import timestamp
from broadcasters.log.contract import Facts, PlanEntry
from broadcasters.log.redis.link import Word
from broadcasters.position import Position

__all__ = ["SHOWN", "entry_from", "fields_of", "labels_from"]

SHOWN: Final = ("epoch", "offset", "status", "title", "progress", "owner", "labels", "created", "updated")
"""The fields that `entry_from` reads, in its order."""


def fields_of(facts: Facts) -> list[Word]:
    """Name, value, name, value … of what is said."""
    fields: list[Word] = []
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


def entry_from(plan_id: str, values: Sequence[bytes | None]) -> PlanEntry | None:
    """The plan as a list shows it; None when there is none."""
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
        created_at=_moment(created),
        updated_at=_moment(updated),
    )


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode()


def _moment(ms: bytes | None) -> str:
    return timestamp(datetime.fromtimestamp(int(ms or 0) / 1000, UTC))
