"""Redis is restarted, or falls silent, while people watch: nobody has to reconnect, nobody misses a word, and the hub
says that it can't hear for as long as it can't."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Sequence
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.faults.chronicle import Chronicle
from tests.faults.readers import Reader, told_all
from tests.faults.talker import Talker
from tests.servers import Proxy, RedisServer, eventually
from tests.servers.hub import HubServer

pytestmark = pytest.mark.faults

PLANS = [f"plan-{number}" for number in range(4)]
RED_S = 10.0
"""So soon /readyz is to say that a node is deaf."""
GREEN_S = 30.0


async def watching(chronicle: Chronicle, hub: HubServer, count: int) -> list[Reader]:
    readers = [Reader(chronicle, hub.ws, f"reader-{i}") for i in range(count)]
    for number, reader in enumerate(readers):
        await reader.connect()
        for plan_id in PLANS[: 1 + number % len(PLANS)]:
            reader.subscribe(plan_id, "start" if number % 2 else None)
    for reader in readers:
        await reader.until(lambda one: all(stand.joined for stand in one.stands.values()), "all confirmations")
    return readers


async def told_more(readers: Sequence[Reader], words: int = 50) -> None:
    """Wait until everybody was told so many more of the first plan."""
    enough = {reader: reader.places[PLANS[0]].offset + words for reader in readers}
    for reader, offset in enough.items():
        await reader.until_at(PLANS[0], offset)


def check_sanity(hub: HubServer, readers: Sequence[Reader]) -> str:
    """Nobody had to come back, nothing failed, and the hub's loop never stood still."""
    assert [reader.closes for reader in readers] == [[]] * len(readers)
    assert [reader.connections for reader in readers] == [1] * len(readers)
    assert {reader.name: reader.reasons for reader in readers if reader.reasons} == {}
    assert hub.logged("error") == hub.logged("critical") == []
    looked = {
        sample.labels["le"]: sample.value
        for family in text_string_to_metric_families(hub.get("/metrics")[1])
        for sample in family.samples
        if sample.name == "plancast_loop_lag_seconds_bucket"
    }
    looks = looked["+Inf"]
    late = {bound: looks - looked[bound] for bound in ("0.1", "1.0", "5.0")}
    assert late["5.0"] == 0, "a loop that spins or blocks is late by many seconds"
    return f"loop looked at {looks:.0f} times, later than 0.1 s: {late['0.1']:.0f}, than 1 s: {late['1.0']:.0f}"


async def restarts(chronicle: Chronicle, directory: Path, *, clients: int, times: int, rate: float) -> None:
    with RedisServer(appendonly="yes", appendfsync="always") as redis:
        async with HubServer(redis.url) as hub:
            readers = await watching(chronicle, hub, clients)
            async with Talker(redis.url, PLANS, directory, senders=16, rate=rate) as talker:
                await told_more(readers)
                for _ in range(times):
                    redis.kill()
                    red = await hub.until_ready(False, RED_S)
                    await asyncio.to_thread(redis.start)
                    await hub.until_ready(True, GREEN_S)
                    await told_more(readers)
            tally = await told_all(readers, redis.url, talker.acks)
            print(f"\n{times} restarts, {clients} clients, red: {red}; {check_sanity(hub, readers)}; {tally}")


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_hub_that_is_stopped_while_redis_is_away_ends_as_ever(workers: int) -> None:
    with RedisServer() as redis:
        async with HubServer(redis.url, workers=workers, drain_seconds=0) as hub:
            last = f'worker="{workers - 1}"' if workers > 1 else ""
            await asyncio.to_thread(eventually, "all serve", lambda: last in hub.get("/metrics")[1])
            redis.kill()
            await hub.until_ready(False, RED_S)
            hub.signal(signal.SIGTERM)
            assert await asyncio.to_thread(hub.wait, 30) == 0
            assert hub.logged("error") == hub.logged("critical") == []


async def test_redis_is_restarted_under_load(tmp_path: Path, chronicle: Chronicle) -> None:
    await restarts(chronicle, tmp_path, clients=20, times=1, rate=400)


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_redis_is_restarted_again_and_again_under_load(tmp_path: Path, chronicle: Chronicle) -> None:
    await restarts(chronicle, tmp_path, clients=100, times=8, rate=1000)


async def silences(chronicle: Chronicle, directory: Path, *, clients: int, times: int, rate: float) -> None:
    """Nothing is closed, nothing is refused: the line to Redis is just dead. The talkers have another one."""
    with RedisServer() as redis:
        async with Proxy(redis.port) as proxy, HubServer(proxy.url) as hub:
            readers = await watching(chronicle, hub, clients)
            async with Talker(redis.url, PLANS, directory, senders=16, rate=rate) as talker:
                await told_more(readers)
                for _ in range(times):
                    proxy.silence()
                    red = await hub.until_ready(False, RED_S)
                    assert await asyncio.to_thread(hub.get, "/healthz") == (200, '{"status":"ok"}')
                    proxy.heal()
                    await hub.until_ready(True, GREEN_S)
                    await told_more(readers)
            tally = await told_all(readers, redis.url, talker.acks)
            sane = await asyncio.to_thread(check_sanity, hub, readers)
            print(f"\n{times} silences, {clients} clients, red: {red}; {sane}; {tally}")


async def test_the_line_to_redis_falls_silent_under_load(tmp_path: Path, chronicle: Chronicle) -> None:
    await silences(chronicle, tmp_path, clients=20, times=1, rate=400)


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_the_line_to_redis_falls_silent_again_and_again(tmp_path: Path, chronicle: Chronicle) -> None:
    await silences(chronicle, tmp_path, clients=100, times=6, rate=1000)


@pytest.mark.slow
async def test_the_line_is_cut_twenty_times_under_load(tmp_path: Path, chronicle: Chronicle) -> None:
    with RedisServer() as redis:
        async with Proxy(redis.port) as proxy, HubServer(proxy.url) as hub:
            readers = await watching(chronicle, hub, 50)
            async with Talker(redis.url, PLANS, tmp_path, senders=16, rate=600) as talker:
                for _ in range(20):
                    await told_more(readers)
                    proxy.cut()
                await hub.until_ready(True, GREEN_S)
                await told_more(readers)
            tally = await told_all(readers, redis.url, talker.acks)
            print(f"\n{await asyncio.to_thread(check_sanity, hub, readers)}; {tally}")
