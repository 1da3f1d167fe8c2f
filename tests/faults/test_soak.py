"""All weather at once, at random: Redis, the hubs and the lines between them fail together and in any order, while
agents speak and people come and go. Whatever happens, each person's story is what the log says.

Each run prints its seed; PLANCAST_SOAK_SEED repeats its weather. (What it hits is a matter of moments, and differs.)
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
from tests.faults.chronicle import Chronicle
from tests.faults.readers import Reader, told_all
from tests.faults.talker import Talker
from tests.servers import Proxy, RedisServer
from tests.servers.hub import HubServer

pytestmark = pytest.mark.faults

PLANS = ["plan-0", "plan-1", "trimmed"]
HUBS = 2
AT_ONCE = 2
GREEN_S = 60.0


class House:
    """Two hubs on one Redis, each with a line of its own to it, and the ways in which they fail."""

    def __init__(self, redis: RedisServer, lines: list[Proxy], hubs: list[HubServer], dice: Random) -> None:
        self.redis, self.lines, self.hubs, self.dice = redis, lines, hubs, dice

    @property
    def addresses(self) -> list[str]:
        return [hub.ws for hub in self.hubs]

    async def pause(self, most: float) -> None:
        await asyncio.sleep(self.dice.random() * most)

    async def redis_dies(self) -> None:
        self.redis.kill()
        await self.pause(2.0)
        await asyncio.to_thread(self.redis.start)

    async def redis_stands_still(self) -> None:
        self.redis.pause()
        await self.pause(5.0)
        self.redis.resume()

    async def redis_forgets_scripts(self) -> None:
        await asyncio.to_thread(self.redis.call, "SCRIPT", "FLUSH")

    async def redis_drops_clients(self) -> None:
        kind = self.dice.choice(["normal", "pubsub"])
        await asyncio.to_thread(self.redis.call, "CLIENT", "KILL", "TYPE", kind)

    async def redis_is_full(self) -> None:
        await asyncio.to_thread(self.redis.call, "CONFIG", "SET", "maxmemory", "1mb")
        await self.pause(2.0)
        await asyncio.to_thread(self.redis.call, "CONFIG", "SET", "maxmemory", "0")

    async def line_falls_silent(self) -> None:
        line = self.dice.choice(self.lines)
        line.silence()
        await self.pause(5.0)
        line.heal()

    async def line_is_cut(self) -> None:
        self.dice.choice(self.lines).cut()

    async def hub_dies(self) -> None:
        hub = self.dice.choice(self.hubs)
        await asyncio.to_thread(hub.kill)
        await self.pause(1.0)
        await self._begin_again(hub)

    async def hub_leaves(self) -> None:
        hub = self.dice.choice(self.hubs)
        hub.signal(signal.SIGTERM)
        await asyncio.to_thread(hub.wait)
        await self._begin_again(hub)

    async def _begin_again(self, hub: HubServer) -> None:
        """As a supervisor does: a hub that is begun while Redis is away ends at once."""
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
    def weather(self) -> list[Callable[[], Awaitable[None]]]:
        """What may happen; of each kind (the first word of its name) one thing at a time."""
        return [
            self.redis_dies,
            self.redis_stands_still,
            self.redis_forgets_scripts,
            self.redis_drops_clients,
            self.redis_is_full,
            self.line_falls_silent,
            self.line_is_cut,
            self.hub_dies,
            self.hub_leaves,
            self.log_is_trimmed,
        ]

    async def storm(self, seconds: float) -> list[str]:
        """Let it all happen; what happened, in order."""
        happened: list[str] = []
        under_way: dict[str, asyncio.Task[None]] = {}
        async with asyncio.TaskGroup() as group:
            until = asyncio.get_running_loop().time() + seconds
            while asyncio.get_running_loop().time() < until:
                under_way = {kind: task for kind, task in under_way.items() if not task.done()}
                happens = self.dice.choice(self.weather)
                kind = happens.__name__.partition("_")[0]
                if kind not in under_way and len(under_way) < AT_ONCE:
                    happened.append(happens.__name__)
                    under_way[kind] = group.create_task(_survived(happens))
                await self.pause(0.8)
        return happened

    async def until_well(self) -> None:
        """There is room again, and every hub is ready."""
        await asyncio.to_thread(self.redis.call, "CONFIG", "SET", "maxmemory", "0")
        for hub in self.hubs:
            await hub.until_ready(True, GREEN_S)


async def _survived(happens: Callable[[], Awaitable[None]]) -> None:
    """Redis may be away just now for those who do something to it, too."""
    with suppress(OSError, hiredis.ReplyError, PlancastError, TimeoutError):
        await happens()


def lasting_port() -> int:
    """One that no outgoing connection is ever given, so that whoever listens there may go away and come back."""
    outgoing = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    while True:
        port = SystemRandom().randrange(10_000, outgoing)
        with suppress(OSError), socket.socket() as one:
            one.bind(("127.0.0.1", port))
            return port


@asynccontextmanager
async def housed(dice: Random) -> AsyncIterator[House]:
    async with AsyncExitStack() as stack:
        redis = RedisServer(appendonly="yes", appendfsync="always")
        redis.port = lasting_port()
        stack.enter_context(redis)
        lines = [await stack.enter_async_context(Proxy(redis.port)) for _ in range(HUBS)]
        hubs = [HubServer(line.url, drain_seconds=1) for line in lines]
        for hub in hubs:
            hub.port = lasting_port()
            await stack.enter_async_context(hub)
        yield House(redis, lines, hubs, dice)


class Person:
    """Comes and goes, to any hub. One who is `steady` comes back only when sent away; one without places hears what is
    said while there."""

    def __init__(self, reader: Reader, house: House, dice: Random, *, steady: bool, knows_places: bool) -> None:
        self.reader, self._house, self._dice = reader, house, dice
        self._steady, self._knows_places = steady, knows_places
        self.stays = False

    async def live(self) -> None:
        while True:
            await self.be_there()
            await asyncio.sleep(self._dice.random())
            if not (self.stays or self._steady) and self._dice.random() < 0.2:
                await self.reader.vanish()

    async def be_there(self) -> None:
        reader = self.reader
        if not reader.connected:
            await reader.insist(*self._dice.sample(self._house.addresses, HUBS))
        for plan_id in PLANS:
            if plan_id in reader.stands:
                continue
            if self._knows_places:
                reader.resume(plan_id)
            else:
                reader.subscribe(plan_id, "now")


def people(chronicle: Chronicle, house: House, count: int) -> list[Person]:
    return [
        Person(
            Reader(chronicle, house.addresses[0], f"person-{i}"),
            house,
            Random(house.dice.random()),
            steady=i % 3 == 0,
            knows_places=i % 4 != 3,
        )
        for i in range(count)
    ]


async def soak(chronicle: Chronicle, directory: Path, *, seconds: float, count: int, rate: float) -> None:
    seed = int(os.environ.get("PLANCAST_SOAK_SEED") or SystemRandom().randrange(10_000))
    print(f"\nPLANCAST_SOAK_SEED={seed}")
    async with housed(Random(seed)) as house, asyncio.TaskGroup() as lives:
        crowd = people(chronicle, house, count)
        tasks = [lives.create_task(person.live()) for person in crowd]
        async with (
            Talker(house.redis.url, PLANS, directory, name="whole", rate=rate) as whole,
            Talker(house.redis.url, PLANS, directory, name="parts", rate=rate, streamed=True) as parts,
            Talker(house.hubs[0].url, PLANS, directory, name="remote", rate=rate) as remote,
        ):
            happened = await house.storm(seconds)
            await house.until_well()
        for person in crowd:
            person.stays = True
        readers = [person.reader for person in crowd]
        tally = await told_all(readers, house.redis.url, whole.acks, parts.acks, remote.acks)
        for task in tasks:
            task.cancel()
        for hub in house.hubs:
            assert hub.logged("error") == hub.logged("critical") == []
            assert "Traceback" not in hub.output
        print(f"{', '.join(happened)}\n{sum(reader.connections for reader in readers)} connections, {tally}")


async def test_all_weather_at_once(tmp_path: Path, chronicle: Chronicle) -> None:
    await soak(chronicle, tmp_path, seconds=5.0, count=8, rate=150)


@pytest.mark.slow
@pytest.mark.timeout(400)
async def test_all_weather_at_once_for_minutes(tmp_path: Path, chronicle: Chronicle) -> None:
    await soak(chronicle, tmp_path, seconds=60.0, count=20, rate=300)
