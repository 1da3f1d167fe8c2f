"""Several workers, on PostgreSQL and Redis as on several machines, share the work and step in for each other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path

import pytest

from plan_engine import Engine
from tests.plan_engine.house import House, statuses
from tests.plan_engine.nursery import Nursery
from tests.plan_engine.plans import quick, shop, who_works
from tests.servers.postgres import PostgresServer
from tests.servers.process import RedisServer

LEASE_S = 2.0


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    with PostgresServer() as server:
        yield server


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture
async def house(tmp_path: Path, postgres: PostgresServer, redis: RedisServer) -> AsyncGenerator[House]:
    redis.call("FLUSHALL")
    async with House(tmp_path, db=f"{postgres.url}_{tmp_path.name[-30:]}", log=redis.url) as house:
        yield house


@pytest.fixture
def nursery(house: House) -> Iterator[Nursery]:
    words = ["--log", house.log_url, "--engine-db", house.db, "--templates", "tests.plan_engine.plans"]
    log = house.directory / "workers.log"
    with (
        log.open("ab") as errors,
        Nursery([*words, "--lease", str(LEASE_S), "--plans-at-once", "10"], errors) as nursery,
    ):
        yield nursery


@pytest.fixture
async def office(house: House) -> AsyncGenerator[Engine]:
    async with house.engine(quick, shop, work=False, lease=LEASE_S) as office:
        yield office


async def _all_complete(house: House, office: Engine, nursery: Nursery, plans: int) -> None:
    workers = {nursery.bear(), nursery.bear()}
    path = house.directory / "effects.db"
    plan_ids = [f"quick-{n}" for n in range(plans)]
    given = {"effects": str(path), "hands": len(workers)}
    await asyncio.gather(*(office.start("quick", given, plan_id) for plan_id in plan_ids))
    async with asyncio.timeout(100):
        ended = await asyncio.gather(*(office.outcome(plan_id) for plan_id in plan_ids))
    assert {end.status for end in ended} == {"completed"}
    for plan_id in plan_ids:
        await house.story(plan_id)
    assert who_works(path) == {str(worker) for worker in workers}


@pytest.mark.faults
async def test_two_workers_share_what_is_started_at_once(house: House, office: Engine, nursery: Nursery) -> None:
    await _all_complete(house, office, nursery, 30)


@pytest.mark.slow
async def test_two_workers_share_two_hundred_plans(house: House, office: Engine, nursery: Nursery) -> None:
    await _all_complete(house, office, nursery, 200)


@pytest.mark.slow
async def test_another_worker_takes_over_from_one_that_died(house: House, office: Engine, nursery: Nursery) -> None:
    first = nursery.bear()
    await office.start("shop", {"effects": str(house.directory / "effects.db")}, "p")
    request_id = await house.until_asked("p")
    await house.until_step("p", "approval", "waiting")
    nursery.bear()
    nursery.kill(first)
    await house.answer("p", request_id, "yes")
    async with asyncio.timeout(60):
        assert (await office.outcome("p")).result == {"approved_by": "maria"}
    events = await house.story("p")
    assert statuses(events, "approval") == ["pending", "in_progress", "waiting", "in_progress", "completed"]
    assert statuses(events, "figures").count("completed") == 1
