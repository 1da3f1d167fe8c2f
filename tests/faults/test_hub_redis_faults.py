"""Redis is restarted or stalls while clients watch: no client has to reconnect or misses an event, and /readyz is red as
long as the hub can't receive."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Sequence
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.faults.event_recorder import EventRecorder
from tests.faults.publisher_process import PublisherProcess
from tests.faults.readers import Reader, verify_received
from tests.servers import Proxy, RedisServer, eventually
from tests.servers.hub import HubServer

pytestmark = pytest.mark.faults

PLANS = [f"plan-{number}" for number in range(4)]
RED_S = 10.0
"""The time in which /readyz must turn red when a node can't receive."""
GREEN_S = 30.0


async def watching(recorder: EventRecorder, hub: HubServer, count: int) -> list[Reader]:
    readers = [Reader(recorder, hub.ws, f"reader-{i}") for i in range(count)]
    for number, reader in enumerate(readers):
        await reader.connect()
        for plan_id in PLANS[: 1 + number % len(PLANS)]:
            reader.subscribe(plan_id, "start" if number % 2 else None)
    for reader in readers:
        await reader.until(lambda one: all(each.confirmed for each in one.subscriptions.values()), "all confirmations")
    return readers


async def receive_more(readers: Sequence[Reader], events: int = 50) -> None:
    """Waits until each reader has received this many more events of the first plan."""
    enough = {reader: reader.positions[PLANS[0]].offset + events for reader in readers}
    for reader, offset in enough.items():
        await reader.until_at(PLANS[0], offset)


def check_hub(hub: HubServer, readers: Sequence[Reader]) -> str:
    """Checks that no client reconnected, nothing failed, and the hub's event loop was never blocked."""
    assert [reader.close_codes for reader in readers] == [[]] * len(readers)
    assert [reader.connections for reader in readers] == [1] * len(readers)
    assert {reader.name: reader.reasons for reader in readers if reader.reasons} == {}
    assert hub.logged("error") == hub.logged("critical") == []
    samples = {
        sample.labels["le"]: sample.value
        for family in text_string_to_metric_families(hub.get("/metrics")[1])
        for sample in family.samples
        if sample.name == "plancast_loop_lag_seconds_bucket"
    }
    total = samples["+Inf"]
    late = {bound: total - samples[bound] for bound in ("0.1", "1.0", "5.0")}
    assert late["5.0"] == 0, "an event loop that spins or blocks is late by many seconds"
    return f"loop sampled {total:.0f} times, later than 0.1 s: {late['0.1']:.0f}, than 1 s: {late['1.0']:.0f}"


async def restarts(recorder: EventRecorder, directory: Path, *, clients: int, times: int, rate: float) -> None:
    with RedisServer(appendonly="yes", appendfsync="always") as redis:
        async with HubServer(redis.url) as hub:
            readers = await watching(recorder, hub, clients)
            async with PublisherProcess(redis.url, PLANS, directory, senders=16, rate=rate) as publisher:
                await receive_more(readers)
                for _ in range(times):
                    redis.kill()
                    red = await hub.until_ready(False, RED_S)
                    await asyncio.to_thread(redis.start)
                    await hub.until_ready(True, GREEN_S)
                    await receive_more(readers)
            tally = await verify_received(readers, redis.url, publisher.acks)
            print(f"\n{times} restarts, {clients} clients, red: {red}; {check_hub(hub, readers)}; {tally}")


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_hub_that_is_stopped_while_redis_is_down_exits_normally(workers: int) -> None:
    with RedisServer() as redis:
        async with HubServer(redis.url, workers=workers, drain_seconds=0) as hub:
            last = f'worker="{workers - 1}"' if workers > 1 else ""
            await asyncio.to_thread(eventually, "all serve", lambda: last in hub.get("/metrics")[1])
            redis.kill()
            await hub.until_ready(False, RED_S)
            hub.signal(signal.SIGTERM)
            assert await asyncio.to_thread(hub.wait, 30) == 0
            assert hub.logged("error") == hub.logged("critical") == []


async def test_redis_is_restarted_under_load(tmp_path: Path, recorder: EventRecorder) -> None:
    await restarts(recorder, tmp_path, clients=20, times=1, rate=400)


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_redis_is_restarted_repeatedly_under_load(tmp_path: Path, recorder: EventRecorder) -> None:
    await restarts(recorder, tmp_path, clients=100, times=8, rate=1000)


async def stalls(recorder: EventRecorder, directory: Path, *, clients: int, times: int, rate: float) -> None:
    """The hub's connections to Redis stall without being closed or refused. The publishers connect directly."""
    with RedisServer() as redis:
        async with Proxy(redis.port) as proxy, HubServer(proxy.url) as hub:
            readers = await watching(recorder, hub, clients)
            async with PublisherProcess(redis.url, PLANS, directory, senders=16, rate=rate) as publisher:
                await receive_more(readers)
                for _ in range(times):
                    proxy.silence()
                    red = await hub.until_ready(False, RED_S)
                    assert await asyncio.to_thread(hub.get, "/healthz") == (200, '{"status":"ok"}')
                    proxy.heal()
                    await hub.until_ready(True, GREEN_S)
                    await receive_more(readers)
            tally = await verify_received(readers, redis.url, publisher.acks)
            checked = await asyncio.to_thread(check_hub, hub, readers)
            print(f"\n{times} stalls, {clients} clients, red: {red}; {checked}; {tally}")


async def test_connections_to_redis_stall_under_load(tmp_path: Path, recorder: EventRecorder) -> None:
    await stalls(recorder, tmp_path, clients=20, times=1, rate=400)


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_connections_to_redis_stall_repeatedly(tmp_path: Path, recorder: EventRecorder) -> None:
    await stalls(recorder, tmp_path, clients=100, times=6, rate=1000)


@pytest.mark.slow
async def test_connections_to_redis_are_reset_twenty_times_under_load(tmp_path: Path, recorder: EventRecorder) -> None:
    with RedisServer() as redis:
        async with Proxy(redis.port) as proxy, HubServer(proxy.url) as hub:
            readers = await watching(recorder, hub, 50)
            async with PublisherProcess(redis.url, PLANS, tmp_path, senders=16, rate=600) as publisher:
                for _ in range(20):
                    await receive_more(readers)
                    proxy.cut()
                await hub.until_ready(True, GREEN_S)
                await receive_more(readers)
            tally = await verify_received(readers, redis.url, publisher.acks)
            print(f"\n{await asyncio.to_thread(check_hub, hub, readers)}; {tally}")
