"""Work on a plan through every log: leases, signals, and L9: signs of life are no activity."""

from __future__ import annotations

import asyncio

import pytest

from broadcasters import Broadcaster, PlanBusy
from broadcasters.checkpointing import snapshot_of
from broadcasters.events import WorkerUpdate, build
from broadcasters.log.contract import PlanLog
from broadcasters.signals import requested
from tests.contract.clients import next_tick

PLAN = "plan-1"
DEADLINE_S = 60


async def test_a_worker_is_stopped_by_a_signal_and_only_one_works(log: PlanLog, log_url: str) -> None:
    async with Broadcaster(log_url) as b, Broadcaster(log_url) as other, asyncio.timeout(DEADLINE_S):
        async with b.working(PLAN, name="Mailer") as work:
            with pytest.raises(PlanBusy):
                await other.working(PLAN, name="Printer").__aenter__()
            await other.send(requested(PLAN, "cancel", "maria"))
            await work.unless_cancelled(asyncio.Event().wait())
        assert work.cancelled
    plan = (await snapshot_of(log, PLAN))[0]
    assert (plan.status, plan.content) == ("cancelled", "Stopped by maria")
    assert plan.worker is not None
    assert (plan.worker.name, plan.worker.state) == ("Mailer", "released")


async def test_a_sign_of_life_moves_no_plan_in_lists(log: PlanLog, log_url: str) -> None:
    alive = {"worker_id": "w", "state": "alive"}
    async with Broadcaster(log_url) as b:
        for plan_id in ("a", "b"):
            await b.send_plan_update(plan_id)
            await next_tick()
        await b.send(build(WorkerUpdate, {"plan_id": "a", **alive}))
        await b.send(build(WorkerUpdate, {"plan_id": "c", **alive}))  # the first event of a plan puts it in
    async with asyncio.timeout(DEADLINE_S):  # an index may be written a little later
        while (listed := await listing(log)).keys() != {"a", "b", "c"}:
            await asyncio.sleep(0.01)
    assert listed == {"a": ("in_progress", 2), "b": ("in_progress", 1), "c": ("in_progress", 1)}
    assert [plan_id for plan_id in listed if plan_id != "c"] == ["b", "a"]


async def listing(log: PlanLog) -> dict[str, tuple[str, int]]:
    """The status and the last offset of each plan, the most recently active first."""
    return {plan.plan_id: (plan.status, plan.head.offset) for plan in (await log.plans()).plans}
