"""Several workers on PostgreSQL and Redis share plans, and take over from each other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from typing import Any

import pytest

from plan_engine import Engine
from tests.broadcasters.faults import FaultyLog, until
from tests.plan_engine.harness import EngineHarness, statuses
from tests.plan_engine.plans import quick, shop, who_works
from tests.plan_engine.worker_processes import WorkerProcesses
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
async def harness(tmp_path: Path, postgres: PostgresServer, redis: RedisServer) -> AsyncGenerator[EngineHarness]:
    redis.call("FLUSHALL")
    async with EngineHarness(tmp_path, db=f"{postgres.url}_{tmp_path.name[-30:]}", log=redis.url) as harness:
        yield harness


@pytest.fixture
def workers(harness: EngineHarness) -> Iterator[WorkerProcesses]:
    words = ["--log", harness.log_url, "--engine-db", harness.db, "--templates", "tests.plan_engine.plans"]
    log = harness.directory / "workers.log"
    with (
        log.open("ab") as errors,
        WorkerProcesses([*words, "--lease", str(LEASE_S), "--plans-at-once", "10"], errors) as workers,
    ):
        yield workers


@pytest.fixture
async def office(harness: EngineHarness) -> AsyncGenerator[Engine]:
    async with harness.engine(quick, shop, work=False, lease=LEASE_S) as office:
        yield office


async def _all_complete(harness: EngineHarness, office: Engine, workers: WorkerProcesses, plans: int) -> None:
    pids = {workers.start(), workers.start()}
    path = harness.directory / "effects.db"
    plan_ids = [f"quick-{n}" for n in range(plans)]
    given = {"effects": str(path), "hands": len(pids)}
    await asyncio.gather(*(office.start("quick", given, plan_id) for plan_id in plan_ids))
    async with asyncio.timeout(100):
        ended = await asyncio.gather(*(office.outcome(plan_id) for plan_id in plan_ids))
    assert {end.status for end in ended} == {"completed"}
    for plan_id in plan_ids:
        await harness.events(plan_id)
    assert who_works(path) == {str(pid) for pid in pids}


@pytest.mark.faults
async def test_two_workers_share_plans_started_at_once(
    harness: EngineHarness, office: Engine, workers: WorkerProcesses
) -> None:
    await _all_complete(harness, office, workers, 30)


@pytest.mark.slow
async def test_two_workers_share_two_hundred_plans(
    harness: EngineHarness, office: Engine, workers: WorkerProcesses
) -> None:
    await _all_complete(harness, office, workers, 200)


@pytest.mark.slow
async def test_another_worker_takes_over_from_one_that_died(
    harness: EngineHarness, office: Engine, workers: WorkerProcesses
) -> None:
    first = workers.start()
    await office.start("shop", {"effects": str(harness.directory / "effects.db")}, "p")
    request_id = await harness.until_asked("p")
    await harness.until_step("p", "approval", "waiting")
    workers.start()
    workers.kill(first)
    await harness.answer("p", request_id, "yes")
    async with asyncio.timeout(60):
        assert (await office.outcome("p")).result == {"approved_by": "maria"}
    events = await harness.events("p")
    assert statuses(events, "approval") == ["pending", "in_progress", "waiting", "in_progress", "completed"]
    assert statuses(events, "figures").count("completed") == 1


async def test_a_plan_that_a_worker_has_begun_and_not_reported_is_reported_when_its_start_returns(
    harness: EngineHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = FaultyLog(harness.log)
    held.gate.clear()
    status = Engine._status

    async def status_once_begun(engine: Engine, plan_id: str) -> Any:
        await until(lambda: held.calls)
        return await status(engine, plan_id)

    monkeypatch.setattr(Engine, "_status", status_once_begun)
    async with (
        Engine(harness.db, held, [quick], poll=0.05),
        Engine(harness.db, harness.log, [quick], work=False) as other,
    ):
        await other.start("quick", {"effects": str(harness.directory / "effects")}, "p")
        assert (await harness.snapshot("p")).title == "Two quick steps"
        held.gate.set()
        assert (await harness.outcome(other, "p")).status == "completed"
    await harness.events("p")
