"""Who works on a plan: what a snapshot shows of it, and the events that report a worker that is gone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

from broadcasters.events import PlanEvent, PlanUpdate, SignalName, StepUpdate, WorkerUpdate, build
from broadcasters.snapshot import Snapshot, WorkerStatus

__all__ = ["KeyedEvent", "begin_key", "lease_end", "listens", "lost_worker", "stalled_steps", "works_now"]

KeyedEvent = tuple[PlanEvent, str]
"""An event and its idempotency key."""


def works_now(plan: Snapshot, now: datetime | None = None) -> WorkerStatus | None:
    """The worker of the plan, if its lease has not run out. The plan must not have ended."""
    worker = plan.worker
    if worker is None or plan.ended_at is not None or worker.state not in ("begun", "alive"):
        return None
    return worker if (now or datetime.now(UTC)) <= lease_end(worker) else None


def lease_end(worker: WorkerStatus) -> datetime:
    """Until when it counts as working without a further sign of life."""
    return datetime.fromisoformat(worker.seen_at) + timedelta(seconds=worker.lease_s)


def listens(plan: Snapshot, signal: SignalName) -> bool:
    """Whether a program without an engine works on the plan and obeys this signal."""
    worker = works_now(plan)
    return worker is not None and signal in worker.obeys


def begin_key(plan: Snapshot) -> str:
    """The key under which the next worker begins: of several that begin at once, one does."""
    return f"~worker:{plan.worker.offset if plan.worker else 0}:next"


def lost_worker(plan: Snapshot, now: datetime | None = None) -> Sequence[KeyedEvent]:
    """The events that report that the plan's worker is gone; none unless its lease has run out. The keys are the same for
    every program that reports it."""
    worker = plan.worker
    if worker is None or plan.ended_at is not None or worker.state not in ("begun", "alive") or works_now(plan, now):
        return ()
    key = f"~worker:{worker.offset}:{worker.seen_at}"
    lost = build(WorkerUpdate, {"plan_id": plan.plan_id, "worker_id": worker.worker_id, "state": "lost"})
    text = f"{worker.name} has sent no sign of life since {worker.seen_at}"
    steps = [*stalled_steps(plan, text)]
    if not steps:
        data = {"worker": {"name": worker.name, "state": "lost"}}
        fields = {"plan_id": plan.plan_id, "status": plan.status, "content": text, "data": data}
        return [(lost, f"{key}:lost"), (build(PlanUpdate, fields), f"{key}:stalled")]
    return [(lost, f"{key}:lost"), *((event, f"{key}:stalled.{number}") for number, event in enumerate(steps))]


def stalled_steps(plan: Snapshot, content: str) -> Iterator[StepUpdate]:
    """The steps of a plan whose worker is gone, as stalled. A step that only waits isn't: nothing holds it up yet."""
    if plan.ended_at is not None:
        return
    for step in plan.steps:
        if step.status == "in_progress":
            fields = {
                "plan_id": plan.plan_id,
                "step_id": step.step_id,
                "status": "stalled",
                "content": content,
                "attempt": step.attempt,
                "max_attempts": step.max_attempts,
            }
            yield build(StepUpdate, fields)
