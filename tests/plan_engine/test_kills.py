"""Workers are killed at random moments, and no run is lost, repeated or contradicted by its events."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections.abc import AsyncGenerator, Iterator
from contextlib import closing

import pytest

from plan_engine import Engine
from plan_engine.engine import PlanOutcome
from tests.plan_engine.harness import EngineHarness, statuses
from tests.plan_engine.plans import SHOP_STEPS, effects, shop
from tests.plan_engine.worker_processes import WorkerProcesses

LEASE_S = 2.0


@pytest.fixture
def workers(harness: EngineHarness) -> Iterator[WorkerProcesses]:
    words = ["--log", harness.log_url, "--engine-db", harness.db, "--templates", "tests.plan_engine.plans"]
    log = harness.directory / "workers.log"
    with log.open("ab") as errors, WorkerProcesses([*words, "--lease", str(LEASE_S)], errors) as workers:
        yield workers


@pytest.fixture
async def office(harness: EngineHarness) -> AsyncGenerator[Engine]:
    """An engine that starts plans and runs none."""
    async with harness.engine(shop, work=False, lease=LEASE_S) as office:
        yield office


async def _run(harness: EngineHarness, office: Engine, plan_id: str, patience: float) -> PlanOutcome:
    """Start a plan, and answer its question after a while, whether or not a worker runs at that moment."""
    await office.start("shop", {"effects": str(harness.directory / "effects.db")}, plan_id)
    request_id = await harness.until_asked(plan_id)
    await asyncio.sleep(patience)
    await harness.answer(plan_id, request_id, "yes")
    return await office.outcome(plan_id)


async def _kill_again_and_again(
    harness: EngineHarness, office: Engine, workers: WorkerProcesses, kills: int, seed: int
) -> int:
    """Run plans one after another while their worker is killed `kills` times; returns the number of attempts that ended."""
    dice = random.Random(seed)
    plan_ids: list[str] = []
    worker = workers.start()
    while kills > 0:
        plan_id = f"shop-{len(plan_ids)}"
        plan_ids.append(plan_id)
        running = asyncio.create_task(_run(harness, office, plan_id, dice.uniform(0, 0.3)))
        await harness.until(plan_id, lambda event: event.type == "step_update")
        for _ in range(dice.choice((1, 1, 2))):
            if running.done() or kills == 0:
                break
            await asyncio.sleep(dice.uniform(0, 1.0))  # a random moment, not a condition to wait for
            workers.kill(worker)
            worker = workers.start()
            kills -= 1
        async with asyncio.timeout(60):
            assert await running == PlanOutcome("completed", {"approved_by": "maria"})
    return sum([await _check(harness, plan_id) for plan_id in plan_ids])


async def _check(harness: EngineHarness, plan_id: str) -> int:
    events = await harness.events(plan_id)
    done = effects(harness.directory / "effects.db")
    for step_id in SHOP_STEPS:
        assert statuses(events, step_id)[-1] == "completed"
        assert done[f"{plan_id}/{step_id}"][1] >= 1
    assert sum(e.type == "input_request" for e in events) == 1
    assert sum(e.type == "artifact" for e in events) == 1
    return sum(e.data.get("content") == "Continuing after a restart" for e in events)


@pytest.mark.faults
async def test_runs_survive_their_worker(harness: EngineHarness, office: Engine, workers: WorkerProcesses) -> None:
    await _kill_again_and_again(harness, office, workers, kills=6, seed=1)  # so few kills may not hit a running step


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_runs_survive_their_worker_fifty_times(
    harness: EngineHarness, office: Engine, workers: WorkerProcesses
) -> None:
    seed = random.randrange(1_000_000)
    print(f"seed {seed}")
    met = await _kill_again_and_again(harness, office, workers, kills=50, seed=seed)
    assert met >= 5  # the others hit a worker that was starting, or a plan that waited


@pytest.mark.faults
async def test_while_there_is_no_worker_the_plan_is_shown_as_stalled(
    harness: EngineHarness, office: Engine, workers: WorkerProcesses
) -> None:
    worker = workers.start()
    running = asyncio.create_task(_run(harness, office, "p", 0.0))
    await harness.until_step("p", "figures", "in_progress")
    workers.kill(worker)
    stalled = await harness.until_step("p", "figures", "stalled")
    assert stalled.data["content"] == "The worker running this step is gone; another one will continue it"
    workers.start()
    async with asyncio.timeout(60):
        assert (await running).status == "completed"
    await _check(harness, "p")


async def _freeze(harness: EngineHarness, workers: WorkerProcesses, worker: int) -> None:
    """Suspend the worker while it holds no file lock, which would block every other program."""
    async with asyncio.timeout(30):
        while True:
            workers.pause(worker)
            try:
                for name in ("plans.db", "engine.db"):
                    with closing(sqlite3.connect(harness.directory / name, timeout=0.2)) as db:
                        db.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError:
                workers.resume(worker)
                await asyncio.sleep(0)


@pytest.mark.slow
async def test_a_worker_that_was_suspended_reports_nothing_of_plans_taken_over(
    harness: EngineHarness, office: Engine, workers: WorkerProcesses
) -> None:
    frozen = workers.start()
    running = asyncio.create_task(_run(harness, office, "p", 0.0))
    await harness.until_step("p", "figures", "in_progress")
    await _freeze(harness, workers, frozen)
    await harness.until_step("p", "figures", "stalled")
    workers.start()
    await harness.until_step("p", "figures", "retrying")
    workers.resume(frozen)
    async with asyncio.timeout(60):
        assert (await running).status == "completed"
    assert await _check(harness, "p") >= 1
