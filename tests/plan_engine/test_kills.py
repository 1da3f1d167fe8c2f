"""A worker is killed at any moment, and no run of a plan is lost, repeated or contradicted by what was told of it."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections.abc import AsyncGenerator, Iterator
from contextlib import closing

import pytest

from plan_engine import Engine
from plan_engine.engine import Ended
from tests.plan_engine.house import House, statuses
from tests.plan_engine.nursery import Nursery
from tests.plan_engine.plans import SHOP_STEPS, effects, shop

LEASE_S = 2.0


@pytest.fixture
def nursery(house: House) -> Iterator[Nursery]:
    words = ["--log", house.log_url, "--engine-db", house.db, "--templates", "tests.plan_engine.plans"]
    log = house.directory / "workers.log"
    with log.open("ab") as errors, Nursery([*words, "--lease", str(LEASE_S)], errors) as nursery:
        yield nursery


@pytest.fixture
async def office(house: House) -> AsyncGenerator[Engine]:
    """Where plans are started; it does no work."""
    async with house.engine(shop, work=False, lease=LEASE_S) as office:
        yield office


async def _run(house: House, office: Engine, plan_id: str, patience: float) -> Ended:
    """Start a plan, and answer it after a while, whether a worker runs at that moment or not."""
    await office.start("shop", {"effects": str(house.directory / "effects.db")}, plan_id)
    request_id = await house.until_asked(plan_id)
    await asyncio.sleep(patience)
    await house.answer(plan_id, request_id, "yes")
    return await office.outcome(plan_id)


async def _kill_again_and_again(house: House, office: Engine, nursery: Nursery, kills: int, seed: int) -> int:
    """Plans run one after another while their worker is killed `kills` times; how many attempts that has ended."""
    dice = random.Random(seed)
    plan_ids: list[str] = []
    worker = nursery.bear()
    while kills > 0:
        plan_id = f"shop-{len(plan_ids)}"
        plan_ids.append(plan_id)
        running = asyncio.create_task(_run(house, office, plan_id, dice.uniform(0, 0.3)))
        await house.until(plan_id, lambda event: event.type == "step_update")
        for _ in range(dice.choice((1, 1, 2))):
            if running.done() or kills == 0:
                break
            await asyncio.sleep(dice.uniform(0, 1.0))  # the moment is the dice's, not a condition to wait for
            nursery.kill(worker)
            worker = nursery.bear()
            kills -= 1
        async with asyncio.timeout(60):
            assert await running == Ended("completed", {"approved_by": "maria"})
    return sum([await _check(house, plan_id) for plan_id in plan_ids])


async def _check(house: House, plan_id: str) -> int:
    events = await house.story(plan_id)
    done = effects(house.directory / "effects.db")
    for step_id in SHOP_STEPS:
        assert statuses(events, step_id)[-1] == "completed"
        assert done[f"{plan_id}/{step_id}"][1] >= 1
    assert sum(e.type == "input_request" for e in events) == 1
    assert sum(e.type == "artifact" for e in events) == 1
    return sum(e.data.get("content") == "Going on after a restart" for e in events)


@pytest.mark.faults
async def test_runs_survive_their_worker(house: House, office: Engine, nursery: Nursery) -> None:
    await _kill_again_and_again(house, office, nursery, kills=6, seed=1)  # in so few, none may meet a step at work


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_runs_survive_their_worker_fifty_times(house: House, office: Engine, nursery: Nursery) -> None:
    seed = random.randrange(1_000_000)
    print(f"seed {seed}")
    met = await _kill_again_and_again(house, office, nursery, kills=50, seed=seed)
    assert met >= 5  # the others met nobody at work: a worker that was being born, or a plan that waited


@pytest.mark.faults
async def test_while_no_worker_is_there_the_plan_is_shown_to_stand_still(
    house: House, office: Engine, nursery: Nursery
) -> None:
    worker = nursery.bear()
    running = asyncio.create_task(_run(house, office, "p", 0.0))
    await house.until_step("p", "figures", "in_progress")
    nursery.kill(worker)
    stalled = await house.until_step("p", "figures", "stalled")
    assert stalled.data["content"] == "The worker at this step is gone; another one will go on"
    nursery.bear()
    async with asyncio.timeout(60):
        assert (await running).status == "completed"
    await _check(house, "p")


async def _freeze(house: House, nursery: Nursery, worker: int) -> None:
    """At a moment at which it holds no lock on a file: nobody could write to that one any more."""
    async with asyncio.timeout(30):
        while True:
            nursery.pause(worker)
            try:
                for name in ("plans.db", "engine.db"):
                    with closing(sqlite3.connect(house.directory / name, timeout=0.2)) as db:
                        db.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError:
                nursery.resume(worker)
                await asyncio.sleep(0)


@pytest.mark.slow
async def test_a_worker_that_was_only_frozen_does_not_speak_out_of_turn(
    house: House, office: Engine, nursery: Nursery
) -> None:
    frozen = nursery.bear()
    running = asyncio.create_task(_run(house, office, "p", 0.0))
    await house.until_step("p", "figures", "in_progress")
    await _freeze(house, nursery, frozen)
    await house.until_step("p", "figures", "stalled")
    nursery.bear()
    await house.until_step("p", "figures", "retrying")
    nursery.resume(frozen)
    async with asyncio.timeout(60):
        assert (await running).status == "completed"
    assert await _check(house, "p") >= 1
