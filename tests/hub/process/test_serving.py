"""`plancast serve` as a process: while its log or its engine's database is unreachable, and how it ends."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest

from broadcasters import Broadcaster
from tests.faults.raw_socket import dialled
from tests.servers import RedisServer, eventually
from tests.servers.hub import HubServer
from tests.servers.postgres import PostgresServer
from tests.servers.process import free_port

WAITS = "the hub can't open yet"
READY = "the hub is open"


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    """A server that is not started yet, with its port."""
    server = RedisServer()
    server.port = free_port()
    yield server
    server.close()


def logged(hub: HubServer, level: str, words: str) -> list[str]:
    return [str(line["message"]) for line in hub.logged(level) if words in str(line["message"])]


def until_it_waits(hub: HubServer) -> None:
    eventually("it says that it is not ready", lambda: hub.get("/readyz")[0] == 503)


def answer(hub: HubServer, method: str, path: str) -> httpx.Response:
    return httpx.request(method, f"{hub.url}{path}", timeout=30, trust_env=False)


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_hub_whose_log_is_unreachable_waits_and_reports_it(redis: RedisServer, workers: int) -> None:
    """H-OPS-2"""
    async with asyncio.timeout(120):
        hub = HubServer(redis.url, workers=workers)
        try:
            hub.start(wait=False)
            await asyncio.to_thread(until_it_waits, hub)
            assert hub.get("/healthz")[0] == 200
            said = json.loads(hub.get("/readyz")[1])
            assert said["status"] == "not ready"
            assert f"127.0.0.1:{redis.port}" in said["problem"]
            refused = answer(hub, "GET", "/api/plans")
            assert (refused.status_code, refused.json()["code"]) == (503, "unavailable")
            assert int(refused.headers["retry-after"]) > 0
            async with dialled(hub.ws) as client:
                assert await client.closed() == 1012
            assert len(logged(hub, "warning", WAITS)) == workers
            await asyncio.to_thread(redis.start)
            await asyncio.to_thread(
                eventually, "all workers are ready", lambda: len(logged(hub, "info", READY)) == workers
            )
            await asyncio.to_thread(hub.wait_until_ready)
            async with dialled(hub.ws) as client, Broadcaster(redis.url) as broadcaster:
                await client.send_json("subscribe_plan", plan_id="p", since="start")
                await broadcaster.send_agent_message("p", "Ana", "Hello.")
                assert (await client.receive_until("agent_message"))["plan_id"] == "p"
            assert hub.logged("error") == []
            assert len(logged(hub, "warning", WAITS)) == workers
        finally:
            hub.close()


async def test_a_hub_whose_engine_database_is_unreachable_waits_as_well(tmp_path: Path) -> None:
    """H-OPS-2"""
    postgres = PostgresServer()
    log = f"sqlite:///{tmp_path / 'plans.db'}"
    hub = HubServer(log, engine="embedded", engine_db=postgres.url, templates="tests.plan_engine.plans")
    try:
        hub.start(wait=False)
        await asyncio.to_thread(until_it_waits, hub)
        assert f"port {postgres.port}" in hub.get("/readyz")[1]
        with postgres:
            await asyncio.to_thread(hub.wait_until_ready)
            assert answer(hub, "GET", "/api/templates").status_code == 200
            hub.signal(signal.SIGTERM)
            assert await asyncio.to_thread(hub.wait) == 0
    finally:
        hub.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_the_exit_status_after_a_complete_drain_is_0(number: signal.Signals, tmp_path: Path) -> None:
    async with HubServer(f"sqlite:///{tmp_path / 'plans.db'}", drain_seconds=10) as hub:
        async with dialled(hub.ws) as client:
            hub.signal(number)
            assert await client.closed() == 1012
        assert await asyncio.to_thread(hub.wait) == 0
        assert hub.logged("error") == hub.logged("critical") == []


async def test_a_hub_that_waits_for_its_log_ends_on_a_signal(redis: RedisServer) -> None:
    hub = HubServer(redis.url)
    try:
        hub.start(wait=False)
        await asyncio.to_thread(eventually, "it waits", lambda: logged(hub, "warning", WAITS))
        hub.signal(signal.SIGTERM)
        assert await asyncio.to_thread(hub.wait) == 0
        assert "Traceback" not in hub.output
    finally:
        hub.close()


async def test_a_second_signal_ends_all_workers_with_the_status_of_that_signal(tmp_path: Path) -> None:
    """For one process see tests/faults/test_hub_leaving.py."""
    log = f"sqlite:///{tmp_path / 'plans.db'}"
    async with HubServer(log, workers=2, drain_seconds=600) as hub:
        workers = hub.workers
        async with dialled(hub.ws) as client:
            hub.signal(signal.SIGTERM)
            await client.receive_until("going_away")  # and it does not answer the close that follows
            hub.signal(signal.SIGTERM)
            assert await asyncio.to_thread(hub.wait) == 128 + signal.SIGTERM
        assert not [pid for pid in workers if Path(f"/proc/{pid}").exists()]


def listening(port: int) -> int:
    """The number of sockets listening on the port."""
    sockets = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
    return sum(local == f"0100007F:{port:04X}" and state == "0A" for _, local, _, state, *_ in sockets)


def shares(hub: HubServer) -> list[float]:
    """Connections of each worker in one scrape; the other worker's numbers are up to a second old."""
    found = re.findall(
        r'^plancast_connections\{transport="native",worker="\d"\} (\S+)', hub.get("/metrics")[1], re.MULTILINE
    )
    return [float(count) for count in found]


async def greeted(hub: HubServer) -> bool:
    """Whether the hub accepts the client, which reconnects if the connection breaks."""
    async with asyncio.timeout(60):
        while True:
            try:
                async with dialled(hub.ws) as client:
                    await client.receive_until("connected")
                    return True
            except (OSError, AssertionError, asyncio.IncompleteReadError):
                await asyncio.sleep(0.05)


async def test_connections_are_spread_over_the_workers_and_survive_the_replacement_of_one(tmp_path: Path) -> None:
    async with HubServer(f"sqlite:///{tmp_path / 'plans.db'}", workers=2) as hub, AsyncExitStack() as clients:
        assert listening(hub.port) == 2
        for client in await asyncio.gather(*(clients.enter_async_context(dialled(hub.ws)) for _ in range(20))):
            await client.receive_until("connected")

        def counted() -> list[float] | None:
            return found if sum(found := shares(hub)) == 20 else None

        found = await asyncio.to_thread(eventually, "all are counted", counted)
        assert len(found) == 2
        assert min(found) > 0, "one chance in 500,000"
        victim = hub.workers[0]
        os.kill(victim, signal.SIGKILL)
        assert all(await asyncio.gather(*(greeted(hub) for _ in range(20)))), "served by the other worker"
        assert victim not in hub.workers
