"""Which master holds a plan."""

from __future__ import annotations

import asyncio

import pytest

from broadcasters.errors import LogMisconfigured, LogUnavailable
from broadcasters.log.redis import RedisLog
from broadcasters.log.redis.refusals import Refused
from broadcasters.log.redis.topology import Single, pointed_to, slot_of, topology_of
from broadcasters.log.redis.url import Address, RedisUrl
from tests.contract.saying import Heard, Producer
from tests.servers import RedisServer, eventually


@pytest.mark.parametrize(
    "key", ["123456789", "{user1000}.following", "foo{}{bar}", "foo{{bar}}zap", "foo{bar}{zap}", "ü"]
)
def test_slots_are_those_of_redis(key: str) -> None:
    with RedisServer(cluster_enabled="yes") as server:
        assert slot_of(key) == server.call("CLUSTER", "KEYSLOT", key)


async def test_a_single_server_holds_everything() -> None:
    topology = topology_of(RedisUrl.parse("redis://somewhere:1"))
    assert await topology.locate("a") == await topology.locate("b") == Address("somewhere", 1)
    topology.doubt()
    assert list(await topology.masters()) == [Address("somewhere", 1)]


@pytest.mark.parametrize(
    ("said", "where"),
    [
        ("MOVED 3999 127.0.0.1:6381", Address("127.0.0.1", 6381)),
        ("ASK 3999 ::1:6381", Address("::1", 6381)),
        ("ASK 3999 :6381", Address("asked", 6381)),
        ("MOVED 3999 ?:6381", Address("asked", 6381)),
        ("TRYAGAIN Multiple keys request during rehashing of slot", None),
    ],
)
def test_where_a_refusal_points(said: str, where: Address | None) -> None:
    assert pointed_to(Refused(said), Address("asked", 6379)) == where


async def test_an_unknown_service_is_the_operators_mistake() -> None:
    with RedisServer(sentinel=True) as sentinel:
        log = RedisLog(f"redis+sentinel://127.0.0.1:{sentinel.port}/nobody")
        with pytest.raises(LogMisconfigured, match="nobody"):
            await log.open()


async def test_most_sentinels_are_believed() -> None:
    """One that was cut off may still name the old master."""
    sentinels = [RedisServer(sentinel=True).start() for _ in range(3)]
    try:
        for sentinel, port in zip(sentinels, (7001, 7002, 7002), strict=True):
            sentinel.call("SENTINEL", "MONITOR", "plans", "127.0.0.1", port, 2)
        hosts = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in sentinels)
        topology = topology_of(RedisUrl.parse(f"redis+sentinel://{hosts}/plans"))
        assert await topology.locate("any") == Address("127.0.0.1", 7002)

        sentinels[2].kill()
        sentinels[0].kill()
        await topology.refresh()
        assert await topology.locate("any") == Address("127.0.0.1", 7002)
        sentinels[1].kill()
        with pytest.raises(LogUnavailable):
            await topology.refresh()
        assert await topology.locate("any") == Address("127.0.0.1", 7002), "what was known stays known"
        topology.doubt()
        with pytest.raises(LogUnavailable):
            await topology.locate("any")
        await topology.close()
    finally:
        for sentinel in sentinels:
            sentinel.close()


async def test_a_cluster_url_to_a_server_that_is_none() -> None:
    with RedisServer() as server:
        log = RedisLog(f"redis+cluster://127.0.0.1:{server.port}")
        with pytest.raises(LogMisconfigured, match="cluster support disabled"):
            await log.open()


async def test_a_slot_that_nobody_serves_keeps_nobody_from_the_others() -> None:
    with RedisServer(cluster_enabled="yes", cluster_require_full_coverage="no") as server:
        server.call("CLUSTER", "ADDSLOTSRANGE", 0, 8000)
        eventually("it serves", lambda: "cluster_state:ok" in server.call("CLUSTER", "INFO"))
        topology = topology_of(RedisUrl.parse(f"redis+cluster://127.0.0.1:{server.port}"))
        places = await asyncio.gather(*(topology.locate(f"plan-{i}") for i in range(20)), return_exceptions=True)
        served = [slot_of(f"plan-{i}") <= 8000 for i in range(20)]
        assert True in served
        assert False in served
        assert [place == Address("127.0.0.1", server.port) for place in places] == served
        assert all(isinstance(place, LogUnavailable) for place, ok in zip(places, served, strict=True) if not ok)
        await topology.close()

        log = RedisLog(f"redis+cluster://127.0.0.1:{server.port}")
        await log.open()
        heard = [Heard() for _ in range(20)]
        watching = (log.watch(f"plan-{i}", watcher) for i, watcher in enumerate(heard))
        stand = await asyncio.gather(*watching, return_exceptions=True)
        assert [not isinstance(one, LogUnavailable) for one in stand] == served
        there = served.index(True)
        await Producer(f"plan-{there}").batch("x").to(log)
        await heard[there].until_offset(1)
        with pytest.raises(LogUnavailable, match="serves slot"):
            await Producer(f"plan-{served.index(False)}").batch("x").to(log)
        await log.close()


async def test_an_answer_that_makes_no_sense_is_no_answer() -> None:
    """Whoever asked tries again later, as when there is none."""

    class Confused(Single):
        fixed = False

        async def _ask(self) -> None:
            raise ValueError("invalid literal for int()")

    with pytest.raises(LogUnavailable, match="invalid literal"):
        await Confused(Address("127.0.0.1", 1)).locate("plan")
