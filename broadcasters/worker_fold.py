"""The fold of a plan's worker: the one that has begun last."""

from __future__ import annotations

from typing import Any, Final

from broadcasters.events import WorkerUpdate
from broadcasters.snapshot import WorkerStatus

__all__ = ["MIN_LEASE_S", "worker_after"]

MIN_LEASE_S: Final = 1.0
"""The lease of a worker that gave none."""


def worker_after(known: WorkerStatus | None, event: WorkerUpdate, offset: int) -> WorkerStatus | None:
    """The worker after this event, which has this offset.

    A later update of the worker changes its state, also from `lost` to `alive`, and the time when it was seen, unless it is
    lost. Updates of other workers, and all after `released`, are ignored."""
    if event.state == "begun":
        return _begun(known, event, offset)
    if known is None or known.worker_id != event.worker_id or known.state == "released":
        return known
    changes: dict[str, Any] = {"state": event.state}
    if event.state != "lost":
        changes["seen_at"] = event.timestamp
    return known.model_copy(update=changes)


def _begun(before: WorkerStatus | None, event: WorkerUpdate, offset: int) -> WorkerStatus:
    return WorkerStatus(
        worker_id=event.worker_id,
        offset=offset,
        name=event.worker_id if event.name is None else event.name,
        state="begun",
        lease_s=MIN_LEASE_S if event.lease_s is None else event.lease_s,
        obeys=tuple(event.obeys or ()),
        since=event.timestamp,
        seen_at=event.timestamp,
        signals_after=offset if before is None or before.state == "released" else before.signals_after,
    )
