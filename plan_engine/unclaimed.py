"""Stopping a plan that no worker has at the moment: it waits for its turn, or for a worker to take it over."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from broadcasters.broadcaster import Broadcaster
from broadcasters.checkpointing import snapshot_of
from broadcasters.events import PlanUpdate, StepUpdate, build
from broadcasters.log.contract import PlanLog
from plan_engine.past import Past
from plan_engine.teller import Keyed, tell_all

__all__ = ["tell_stopped"]


async def tell_stopped(plan_id: str, opening: Sequence[Keyed], by: str, log: PlanLog, broadcaster: Broadcaster) -> None:
    """Tell its end, in the place of the worker it will not have."""
    await tell_all(broadcaster, opening)
    snapshot, _ = await snapshot_of(log, plan_id)
    past = Past.of(snapshot, (step.step_id for step in snapshot.steps))
    if not past.ended:
        await tell_all(broadcaster, [*past.loose_ends, *_last_words(plan_id, past, by)])


def _last_words(plan_id: str, past: Past, by: str) -> Iterator[Keyed]:
    said: dict[str, Any] = {"plan_id": plan_id, "status": "cancelled", "content": f"Stopped by {by}"}
    for step_id, step in past.steps.items():
        if not step.ended:
            yield build(StepUpdate, {**said, "step_id": step_id}), f"{step_id}:end"
    data = {"signal": "cancel", "state": "stopped", "by": by}
    yield build(PlanUpdate, {**said, "data": data}), "~plan:end"
