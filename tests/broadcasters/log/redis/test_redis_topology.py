"""Which master holds a plan."""

from __future__ import annotations

import asyncio

import pytest
from redis.exceptions import RedisError

from broadcasters.errors import LogMisconfigured, LogUnavailable
from broadcasters.log.redis import RedisLog
from broadcasters.log.redis.clients import Clients
from broadcasters.log.redis.link import _parse_error
from broadcasters.log.redis.masters import Masters, pointed_to
from broadcasters.log.redis.topology import SingleMaster, masters_of
from broadcasters.log.redis.url import Address, RedisUrl, User
from tests.contract.clients import Producer, RecordingWatcher
from tests.servers import RedisServer, eventually
from tests.servers.cluster import slot_of


def masters_at(url: str) -> Masters:
    return masters_of(RedisUrl.parse(url), "plancast")


async def test_a_single_server_holds_everything() -> None:
    masters = masters_at("redis://somewhere:1")
    assert await masters.locate("a") == await masters.locate("b") == Address("somewhere", 1)
    masters.doubt()
    assert list(await masters.addresses()) == [Address("somewhere", 1)]


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
def test_where_an_error_redirects_to(said: str, where: Address | None) -> None:
    error = _parse_error(said)
    assert isinstance(error, RedisError)
    assert pointed_to(error, Address("asked", 6379)) == where


async def test_an_unknown_service_is_a_misconfiguration() -> None:
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
        masters = masters_at(f"redis+sentinel://{hosts}/plans")
        assert await masters.locate("any") == Address("127.0.0.1", 7002)

        sentinels[2].kill()
        sentinels[0].kill()
        await masters.refresh()
        assert await masters.locate("any") == Address("127.0.0.1", 7002)
        sentinels[1].kill()
        with pytest.raises(LogUnavailable):
            await masters.refresh()
        assert await masters.locate("any") == Address("127.0.0.1", 7002), "what was known stays known"
        masters.doubt()
        with pytest.raises(LogUnavailable):
            await masters.locate("any")
        await masters.close()
    finally:
        for sentinel in sentinels:
            sentinel.close()


async def test_a_node_that_missed_an_election_is_not_believed() -> None:
    """Cut off from the others, it still names the old masters. (`redis` believes the first node that answers.)"""
    with RedisServer(cluster_enabled="yes") as stale, RedisServer(cluster_enabled="yes") as current:
        for epoch, node in enumerate((stale, current), 1):
            node.call("CLUSTER", "SET-CONFIG-EPOCH", epoch)
            node.call("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
            eventually("it serves", lambda node=node: "cluster_state:ok" in node.call("CLUSTER", "INFO"))  # type: ignore[misc]
        masters = masters_at(f"redis+cluster://127.0.0.1:{stale.port},127.0.0.1:{current.port}")
        for _ in range(5):
            await masters.refresh()
            assert await masters.locate("any") == Address("127.0.0.1", current.port)
        await masters.close()


async def test_a_cluster_url_of_a_server_without_cluster_mode() -> None:
    with RedisServer() as server:
        log = RedisLog(f"redis+cluster://127.0.0.1:{server.port}")
        with pytest.raises(LogMisconfigured, match="cluster support disabled"):
            await log.open()


async def test_a_slot_without_a_master_does_not_affect_the_others() -> None:
    with RedisServer(cluster_enabled="yes", cluster_require_full_coverage="no") as server:
        server.call("CLUSTER", "ADDSLOTSRANGE", 0, 8000)
        eventually("it serves", lambda: "cluster_state:ok" in server.call("CLUSTER", "INFO"))
        masters = masters_at(f"redis+cluster://127.0.0.1:{server.port}")
        places = await asyncio.gather(*(masters.locate(f"plan-{i}") for i in range(20)), return_exceptions=True)
        served = [slot_of(f"plan-{i}") <= 8000 for i in range(20)]
        assert True in served
        assert False in served
        assert [place == Address("127.0.0.1", server.port) for place in places] == served
        assert all(isinstance(place, LogUnavailable) for place, ok in zip(places, served, strict=True) if not ok)
        await masters.close()

        log = RedisLog(f"redis+cluster://127.0.0.1:{server.port}")
        await log.open()
        heard = [RecordingWatcher() for _ in range(20)]
        watching = (log.watch(f"plan-{i}", watcher) for i, watcher in enumerate(heard))
        stand = await asyncio.gather(*watching, return_exceptions=True)
        assert [not isinstance(one, LogUnavailable) for one in stand] == served
        there = served.index(True)
        await Producer(f"plan-{there}").batch("x").to(log)
        await heard[there].until_offset(1)
        with pytest.raises(LogUnavailable, match="serves slot"):
            await Producer(f"plan-{served.index(False)}").batch("x").to(log)
        await log.close()


async def test_an_unreadable_answer_means_unavailable() -> None:
    """The caller tries again later, as if no server had answered."""

    class Confused(SingleMaster):
        fixed = False

        async def _ask(self) -> None:
            raise ValueError("invalid literal for int()")

    confused = Confused(Clients.of_url(User(None, None), None), "plancast", Address("127.0.0.1", 1))
    confused.doubt()
    with pytest.raises(LogUnavailable, match="invalid literal"):
        await confused.locate("plan")
