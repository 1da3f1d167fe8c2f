"""Sixty-four senders on a Redis that is killed and restarted: each acknowledged event is stored once."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable

import pytest

from broadcasters import Broadcaster, LogUnavailable, Position
from broadcasters.log import log_of
from broadcasters.log.contract import PlanLog
from tests.servers import RedisServer

pytestmark = pytest.mark.faults

SENDERS = 64
PLANS = 4


async def until_more(count: Callable[[], int], more: int) -> None:
    enough = count() + more
    async with asyncio.timeout(60):
        while count() < enough:
            await asyncio.sleep(0.002)


async def payloads(log: PlanLog, plan_id: str) -> list[bytes]:
    found: list[bytes] = []
    assert (await log.head(plan_id)).floor == 0
    while page := (await log.read(plan_id, len(found), 1000)).payloads:
        found += page
    return found


async def send_while_it_is_killed(server: RedisServer, deadline: float, kills: int, each: int) -> None:
    acknowledged: dict[str, Position] = {}
    failed: set[str] = set()

    async with Broadcaster(server.url, deadline=deadline) as b:

        async def sender(number: int) -> None:
            for n in range(each):
                name = f"[{number:02}.{n:03}]"
                try:
                    acknowledged[name] = await b.send_agent_message(f"plan-{number % PLANS}", "A", name)
                except LogUnavailable:
                    failed.add(name)

        sending = asyncio.gather(*(sender(number) for number in range(SENDERS)))
        for _ in range(kills):
            await until_more(lambda: len(acknowledged), 50)
            server.kill()
            await until_more(lambda: b.statistics().retries, 5)
            await asyncio.to_thread(server.start)
        await sending

    log = log_of(server.url)
    await log.open()
    names = {f"plan-{n}": [_name(one) for one in await payloads(log, f"plan-{n}")] for n in range(PLANS)}
    await log.close()
    _check(names, acknowledged, failed)


def _name(payload: bytes) -> str:
    return payload[payload.index(b"[") : payload.index(b"]") + 1].decode()


def _check(names: dict[str, list[str]], acknowledged: dict[str, Position], failed: set[str]) -> None:
    counts = Counter(name for stored in names.values() for name in stored)
    assert {name: counts[name] for name in acknowledged} == dict.fromkeys(acknowledged, 1)
    assert all(counts[name] <= 1 for name in failed)
    assert counts.keys() <= acknowledged.keys() | failed
    for name, position in acknowledged.items():
        assert names[f"plan-{int(name[1:3]) % PLANS}"][position.offset - 1] == name
    for number in range(SENDERS):
        mine = [name for name in names[f"plan-{number % PLANS}"] if name.startswith(f"[{number:02}.")]
        assert mine == sorted(mine)


async def test_after_a_restart_every_event_is_stored_once() -> None:
    with RedisServer(appendonly="yes", appendfsync="always") as server:
        await send_while_it_is_killed(server, deadline=60, kills=1, each=60)


@pytest.mark.slow
@pytest.mark.parametrize("deadline", [0.3, 60.0])
async def test_killed_repeatedly(deadline: float) -> None:
    with RedisServer(appendonly="yes", appendfsync="always") as server:
        await send_while_it_is_killed(server, deadline, kills=8, each=300)
