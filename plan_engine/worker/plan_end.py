"""The end of a plan that no worker has, or can have: it waits for its turn or for another worker, or it can't be run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from broadcasters.broadcaster import Broadcaster
from broadcasters.checkpointing import snapshot_of
from broadcasters.events import PlanUpdate, StepUpdate, build
from broadcasters.log.contract import PlanLog
from plan_engine.run.reporter import Keyed, tell_all
from plan_engine.run.run_history import Past

__all__ = ["tell_end"]


async def tell_end(
    plan_id: str, end: Mapping[str, Any], log: PlanLog, broadcaster: Broadcaster, opening: Sequence[Keyed] = ()
) -> None:
    """Tell it in the place of the worker, unless an end was told. `end`: its status and content, and data. `opening`:
    the plan's first words, where they may not have been told yet."""
    await tell_all(broadcaster, opening)
    snapshot, _ = await snapshot_of(log, plan_id)
    past = Past.of(snapshot, (step.step_id for step in snapshot.steps))
    if not past.ended:
        await tell_all(broadcaster, [*past.loose_ends, *_last_words(plan_id, past, end)])


def _last_words(plan_id: str, past: Past, end: Mapping[str, Any]) -> Iterator[Keyed]:
    for step_id, step in past.steps.items():
        if not step.ended:
            status = "skipped" if step.status == "pending" and end["status"] != "cancelled" else "cancelled"
            fields = {"plan_id": plan_id, "step_id": step_id, "status": status, "content": end["content"]}
            yield build(StepUpdate, fields), f"{step_id}:end"
    yield build(PlanUpdate, {"plan_id": plan_id, **end}), "~plan:end"
