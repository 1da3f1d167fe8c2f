"""Sixty-four senders, and a Redis that is killed under them."""

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


async def speak_while_it_is_killed(server: RedisServer, deadline: float, kills: int, each: int) -> None:
    acknowledged: dict[str, Position] = {}
    given_up: set[str] = set()

    async with Broadcaster(server.url, deadline=deadline) as b:

        async def sender(who: int) -> None:
            for n in range(each):
                name = f"[{who:02}.{n:03}]"
                try:
                    acknowledged[name] = await b.send_agent_message(f"plan-{who % PLANS}", "A", name)
                except LogUnavailable:
                    given_up.add(name)

        speaking = asyncio.gather(*(sender(who) for who in range(SENDERS)))
        for _ in range(kills):
            await until_more(lambda: len(acknowledged), 50)
            server.kill()
            await until_more(lambda: b.statistics().retries, 5)
            await asyncio.to_thread(server.start)
        await speaking

    log = log_of(server.url)
    await log.open()
    names = {f"plan-{n}": [_name(one) for one in await payloads(log, f"plan-{n}")] for n in range(PLANS)}
    await log.close()
    _judge(names, acknowledged, given_up)


def _name(payload: bytes) -> str:
    return payload[payload.index(b"[") : payload.index(b"]") + 1].decode()


def _judge(names: dict[str, list[str]], acknowledged: dict[str, Position], given_up: set[str]) -> None:
    counts = Counter(name for said in names.values() for name in said)
    assert {name: counts[name] for name in acknowledged} == dict.fromkeys(acknowledged, 1)
    assert all(counts[name] <= 1 for name in given_up)
    assert counts.keys() <= acknowledged.keys() | given_up
    for name, place in acknowledged.items():
        assert names[f"plan-{int(name[1:3]) % PLANS}"][place.offset - 1] == name
    for who in range(SENDERS):
        mine = [name for name in names[f"plan-{who % PLANS}"] if name.startswith(f"[{who:02}.")]
        assert mine == sorted(mine)


async def test_killed_and_restarted_all_that_was_said_is_there_once() -> None:
    with RedisServer(appendonly="yes", appendfsync="always") as server:
        await speak_while_it_is_killed(server, deadline=60, kills=1, each=60)


@pytest.mark.slow
@pytest.mark.parametrize("deadline", [0.3, 60.0])
async def test_killed_again_and_again(deadline: float) -> None:
    with RedisServer(appendonly="yes", appendfsync="always") as server:
        await speak_while_it_is_killed(server, deadline, kills=8, each=300)
