"""Soak test: Redis, the hubs and the connections between them fail at random, several at once, while agents publish and
clients connect and disconnect. What each client receives must equal the log.

Each run prints its seed; PLANCAST_SOAK_SEED repeats its sequence of faults. (Their effects depend on timing and differ.)
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from random import Random, SystemRandom

import hiredis
import pytest

from broadcasters import PlancastError
from broadcasters.checkpointing import take_checkpoint
from broadcasters.log import log_of
from tests.faults.event_recorder import EventRecorder
from tests.faults.publisher_process import PublisherProcess
from tests.faults.readers import Reader, verify_received
from tests.servers import Proxy, RedisServer
from tests.servers.hub import HubServer

pytestmark = pytest.mark.faults

PLANS = ["plan-0", "plan-1", "trimmed"]
HUBS = 2
AT_ONCE = 2
GREEN_S = 60.0


class Deployment:
    """Two hubs on one Redis, each behind its own proxy, and the faults to inject."""

    def __init__(self, redis: RedisServer, proxies: list[Proxy], hubs: list[HubServer], dice: Random) -> None:
        self.redis, self.proxies, self.hubs, self.dice = redis, proxies, hubs, dice

    @property
    def addresses(self) -> list[str]:
        return [hub.ws for hub in self.hubs]

    async def pause(self, most: float) -> None:
        await asyncio.sleep(self.dice.random() * most)

    async def redis_is_killed(self) -> None:
        self.redis.kill()
        await self.pause(2.0)
        await asyncio.to_thread(self.redis.start)

    async def redis_stalls(self) -> None:
        self.redis.pause()
        await self.pause(5.0)
        self.redis.resume()

    async def redis_flushes_scripts(self) -> None:
        await asyncio.to_thread(self.redis.call, "SCRIPT", "FLUSH")

    async def redis_drops_clients(self) -> None:
        kind = self.dice.choice(["normal", "pubsub"])
        await asyncio.to_thread(self.redis.call, "CLIENT", "KILL", "TYPE", kind)

    async def redis_is_full(self) -> None:
        await asyncio.to_thread(self.redis.call, "CONFIG", "SET", "maxmemory", "1mb")
        await self.pause(2.0)
        await asyncio.to_thread(self.redis.call, "CONFIG", "SET", "maxmemory", "0")

    async def connection_stalls(self) -> None:
        proxy = self.dice.choice(self.proxies)
        proxy.silence()
        await self.pause(5.0)
        proxy.heal()

    async def connection_is_reset(self) -> None:
        self.dice.choice(self.proxies).cut()

    async def hub_is_killed(self) -> None:
        hub = self.dice.choice(self.hubs)
        await asyncio.to_thread(hub.kill)
        await self.pause(1.0)
        await self._restart(hub)

    async def hub_is_drained(self) -> None:
        hub = self.dice.choice(self.hubs)
        hub.signal(signal.SIGTERM)
        await asyncio.to_thread(hub.wait)
        await self._restart(hub)

    async def _restart(self, hub: HubServer) -> None:
        """Restarts it as a process supervisor does: a hub that starts while Redis is down exits at once."""
        while not await asyncio.to_thread(lambda: hub.ready):
            if not hub.alive:
                await asyncio.to_thread(hub.start, wait=False)
            await asyncio.sleep(0.1)

    async def log_is_trimmed(self) -> None:
        log = log_of(self.redis.url)
        try:
            async with asyncio.timeout(GREEN_S):
                await log.open()
                await take_checkpoint(log, "trimmed", window=self.dice.choice([0, 20]))
        finally:
            await log.close()

    @property
    def faults(self) -> list[Callable[[], Awaitable[None]]]:
        """All faults; of each kind (the first word of the name) one at a time."""
        return [
            self.redis_is_killed,
            self.redis_stalls,
            self.redis_flushes_scripts,
            self.redis_drops_clients,
            self.redis_is_full,
            self.connection_stalls,
            self.connection_is_reset,
            self.hub_is_killed,
            self.hub_is_drained,
            self.log_is_trimmed,
        ]

    async def inject_faults(self, seconds: float) -> list[str]:
        """Injects random faults for this long; returns their names in order."""
        injected: list[str] = []
        under_way: dict[str, asyncio.Task[None]] = {}
        async with asyncio.TaskGroup() as group:
            until = asyncio.get_running_loop().time() + seconds
            while asyncio.get_running_loop().time() < until:
                under_way = {kind: task for kind, task in under_way.items() if not task.done()}
                fault = self.dice.choice(self.faults)
                kind = fault.__name__.partition("_")[0]
                if kind not in under_way and len(under_way) < AT_ONCE:
                    injected.append(fault.__name__)
                    under_way[kind] = group.create_task(_tolerating_errors(fault))
                await self.pause(0.8)
        return injected

    async def until_recovered(self) -> None:
        """Lifts the memory limit and waits until every hub is ready."""
        await asyncio.to_thread(self.redis.call, "CONFIG", "SET", "maxmemory", "0")
        for hub in self.hubs:
            await hub.until_ready(True, GREEN_S)


async def _tolerating_errors(fault: Callable[[], Awaitable[None]]) -> None:
    """Runs a fault; its own commands may fail too, when Redis is down."""
    with suppress(OSError, hiredis.ReplyError, PlancastError, TimeoutError):
        await fault()


def reusable_port() -> int:
    """A port outside the ephemeral range, so that a server can restart on it."""
    outgoing = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    while True:
        port = SystemRandom().randrange(10_000, outgoing)
        with suppress(OSError), socket.socket() as one:
            one.bind(("127.0.0.1", port))
            return port


@asynccontextmanager
async def deployed(dice: Random) -> AsyncIterator[Deployment]:
    async with AsyncExitStack() as stack:
        redis = RedisServer(appendonly="yes", appendfsync="always")
        redis.port = reusable_port()
        stack.enter_context(redis)
        proxies = [await stack.enter_async_context(Proxy(redis.port)) for _ in range(HUBS)]
        hubs = [HubServer(proxy.url, drain_seconds=1) for proxy in proxies]
        for hub in hubs:
            hub.port = reusable_port()
            await stack.enter_async_context(hub)
        yield Deployment(redis, proxies, hubs, dice)


class SoakClient:
    """Client that connects to any hub and disconnects at random; a `steady` one reconnects only when it was closed, and one
    without positions receives live events only."""

    def __init__(
        self, reader: Reader, deployment: Deployment, dice: Random, *, steady: bool, knows_positions: bool
    ) -> None:
        self.reader, self._deployment, self._dice = reader, deployment, dice
        self._steady, self._knows_positions = steady, knows_positions
        self.stays = False

    async def run(self) -> None:
        while True:
            await self.ensure_subscribed()
            await asyncio.sleep(self._dice.random())
            if not (self.stays or self._steady) and self._dice.random() < 0.2:
                await self.reader.reset()

    async def ensure_subscribed(self) -> None:
        reader = self.reader
        if not reader.connected:
            await reader.connect_with_retries(*self._dice.sample(self._deployment.addresses, HUBS))
        for plan_id in PLANS:
            if plan_id in reader.subscriptions:
                continue
            if self._knows_positions:
                reader.resume(plan_id)
            else:
                reader.subscribe(plan_id, "now")


def soak_clients(recorder: EventRecorder, deployment: Deployment, count: int) -> list[SoakClient]:
    return [
        SoakClient(
            Reader(recorder, deployment.addresses[0], f"client-{i}"),
            deployment,
            Random(deployment.dice.random()),
            steady=i % 3 == 0,
            knows_positions=i % 4 != 3,
        )
        for i in range(count)
    ]


async def soak(recorder: EventRecorder, directory: Path, *, seconds: float, count: int, rate: float) -> None:
    seed = int(os.environ.get("PLANCAST_SOAK_SEED") or SystemRandom().randrange(10_000))
    print(f"\nPLANCAST_SOAK_SEED={seed}")
    async with deployed(Random(seed)) as deployment, asyncio.TaskGroup() as group:
        clients = soak_clients(recorder, deployment, count)
        tasks = [group.create_task(client.run()) for client in clients]
        async with (
            PublisherProcess(deployment.redis.url, PLANS, directory, name="whole", rate=rate) as whole,
            PublisherProcess(deployment.redis.url, PLANS, directory, name="parts", rate=rate, streamed=True) as parts,
            PublisherProcess(deployment.hubs[0].url, PLANS, directory, name="remote", rate=rate) as remote,
        ):
            injected = await deployment.inject_faults(seconds)
            await deployment.until_recovered()
        for client in clients:
            client.stays = True
        readers = [client.reader for client in clients]
        tally = await verify_received(readers, deployment.redis.url, whole.acks, parts.acks, remote.acks)
        for task in tasks:
            task.cancel()
        for hub in deployment.hubs:
            assert hub.logged("error") == hub.logged("critical") == []
            assert "Traceback" not in hub.output
        print(f"{', '.join(injected)}\n{sum(reader.connections for reader in readers)} connections, {tally}")


@pytest.mark.slow
async def test_random_faults(tmp_path: Path, recorder: EventRecorder) -> None:
    await soak(recorder, tmp_path, seconds=5.0, count=8, rate=150)


@pytest.mark.slow
@pytest.mark.timeout(400)
async def test_random_faults_for_minutes(tmp_path: Path, recorder: EventRecorder) -> None:
    await soak(recorder, tmp_path, seconds=60.0, count=20, rate=300)
