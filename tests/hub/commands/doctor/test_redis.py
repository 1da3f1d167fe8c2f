"""`plancast doctor`: a real Redis with bad settings; the line that mends each is run."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Iterator

import pytest

from hub.commands.doctor.finding import Finding, Section, examine
from hub.commands.doctor.logs import checks_of_log
from tests.servers import RedisCluster, RedisServer, SentinelSet
from tests.servers.process import eventually, free_port


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with RedisServer(password="an open secret", appendonly="yes") as server:
        yield server


async def examined(url: str) -> dict[str, Finding]:
    """The findings of the log at this URL, by name."""
    [(_, findings)] = await examine([Section("log", url, checks_of_log(url))])
    return {finding.name: finding for finding in findings}


async def test_a_redis_in_order(redis: RedisServer) -> None:
    found = await examined(redis.url)
    assert list(found) == ["reachable", "eviction", "memory", "persistence", "replication", "clock", "rights"]
    assert {finding.status for finding in found.values()} == {"ok"}
    assert found["persistence"].found == "append-only file, fsync everysec"


@pytest.mark.parametrize(
    ("settings", "check", "status", "problem"),
    [
        ({"maxmemory-policy": "allkeys-lru"}, "eviction", "failed", "maxmemory-policy is allkeys-lru"),
        ({"appendonly": "no"}, "persistence", "warning", "no append-only file"),
        ({"appendfsync": "no"}, "persistence", "warning", "without fsync"),
        ({"maxmemory": "1mb"}, "memory", "failed", "of maxmemory"),
    ],
)
async def test_a_bad_setting_and_the_line_that_mends_it(
    settings: dict[str, str], check: str, status: str, problem: str, redis: RedisServer
) -> None:
    before = {name: redis.call("CONFIG", "GET", name)[1] for name in settings}
    for name, value in settings.items():
        redis.call("CONFIG", "SET", name, value)
    try:
        finding = (await examined(redis.url))[check]
        assert finding.status == status
        assert problem in finding.found
        await asyncio.to_thread(
            subprocess.run,
            finding.fix,
            shell=True,
            check=True,
            capture_output=True,
            timeout=30,
            env={"REDISCLI_AUTH": redis.password or ""},
        )
        assert (await examined(redis.url))[check].status == "ok"
    finally:
        for name, value in before.items():
            redis.call("CONFIG", "SET", name, value)


async def test_a_replica_that_is_required(redis: RedisServer) -> None:
    finding = (await examined(f"{redis.url}?replicas=1"))["replication"]
    assert (finding.status, finding.found) == (
        "failed",
        "replicas=1 in the log's URL, but 0 connected: each append fails after a second",
    )
    with RedisServer(password=redis.password, replicaof=f"127.0.0.1 {redis.port}") as replica:
        eventually("the replica is in sync", lambda: replica.info("replication")["master_link_status"] == "up")
        eventually("the master knows", lambda: "online" in redis.info("replication").get("slave0", ""))
        assert (await examined(f"{redis.url}?replicas=1"))["replication"].found == "1 replica"
        found = (await examined(replica.url))["reachable"]
        assert (found.status, found.fix) == ("failed", f"export PLANCAST_LOG=redis://127.0.0.1:{redis.port}")


async def test_a_user_with_too_few_rights(redis: RedisServer) -> None:
    redis.call("ACL", "SETUSER", "reader", "on", ">pass", "~*", "&*", "+@all", "-fcall")
    found = await examined(f"redis://reader:pass@127.0.0.1:{redis.port}")
    assert found["rights"].status == "failed"
    assert "fcall" in found["rights"].found.lower()
    assert found["rights"].fix.startswith("redis-cli ACL SETUSER NAME '~plancast:*'")


async def test_a_redis_that_cannot_be_used(redis: RedisServer) -> None:
    port = free_port()
    found = await examined(f"redis://127.0.0.1:{port}")
    assert found["reachable"].status == "failed"
    assert found["reachable"].fix.startswith(f"redis-cli -h 127.0.0.1 -p {port} PING")
    wrong = await examined(f"redis://:wrong@127.0.0.1:{redis.port}")
    assert "USER:PASSWORD" in wrong["reachable"].fix


@pytest.mark.slow
async def test_sentinels() -> None:
    with SentinelSet() as sentinels:
        found = await examined(sentinels.url)
        assert found["sentinels"].found == "3 of 3 Sentinels answer, and agree on a quorum"
        assert found["replication"].found == "1 replica"
        sentinels.sentinels[0].kill()
        found = await examined(sentinels.url)
        assert (found["sentinels"].status, found["reachable"].status) == ("warning", "ok")
        sentinels.sentinels[1].kill()
        assert (await examined(sentinels.url))["sentinels"].status == "failed"


@pytest.mark.slow
async def test_a_cluster_without_replicas() -> None:
    with RedisCluster(replicas=False, cluster_require_full_coverage="no") as cluster:
        found = await examined(cluster.url)
        assert found["reachable"].found.startswith("3 of 3 masters: Redis ")
        assert found["cluster"].found == "3 of 3 masters: all slots are served by 3 masters"
        assert found["replication"].status == "warning"
