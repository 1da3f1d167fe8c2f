"""A configured client in place of a URL: the log connects as it does, over connections of its own."""

from __future__ import annotations

import asyncio
import gc
import ssl
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.asyncio import ConnectionPool, Redis, RedisCluster
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.sentinel import Sentinel
from redis.cluster import LoadBalancingStrategy

from broadcasters import Broadcaster
from broadcasters.blocking import Broadcaster as BlockingBroadcaster
from broadcasters.errors import LogMisconfigured, LogUnavailable
from broadcasters.log import log_of
from broadcasters.log.contract import PlanLog
from broadcasters.log.redis import RedisLog
from broadcasters.log.redis.url import RedisOptions
from tests.contract.clients import RecordingWatcher, all_of
from tests.servers import RedisCluster as ClusterServers
from tests.servers import RedisServer, SentinelSet
from tests.servers.process import eventually, free_port


async def says_and_hears(client: Redis | RedisCluster, plan_id: str = "plan") -> None:
    """A broadcaster and a reader made from the client; the client stays open and usable."""
    log, heard = log_of(client), RecordingWatcher()
    await log.open()
    await log.watch(plan_id, heard)
    async with Broadcaster(client) as broadcaster:
        place = await broadcaster.send_agent_message(plan_id, "Tester", "one")
    await heard.until_offset(1)
    assert (await log.head(plan_id)).position == place
    assert await all_of(log, plan_id) == ["one"]
    assert [plan.plan_id for plan in (await log.plans()).plans] == [plan_id]
    await log.close()
    assert await client.ping()


async def test_a_client_of_one_server(server: RedisServer) -> None:
    """The log takes over where and as whom to connect; not how the client reads replies, nor how often it retries."""
    with RedisServer() as own:
        own.call("ACL", "SETUSER", "agent", "on", ">pw", "~*", "&*", "+@all")
        async with Redis(
            host="127.0.0.1",
            port=own.port,
            db=3,
            username="agent",
            password="pw",
            client_name="ours",
            decode_responses=True,
            encoding="latin-1",
            protocol=2,
            max_connections=1,
            health_check_interval=1,
        ) as client:
            await says_and_hears(client)
            async with Broadcaster(client) as broadcaster:
                await broadcaster.send_agent_message("plan", "Tester", "two")
                known = own.call("CLIENT", "LIST").splitlines()
        log_connections = [line for line in known if "name=ours" in line and "resp=3" in line]
        assert len(log_connections) == 2
        assert all("user=agent" in line and "db=3" in line for line in log_connections)
        assert own.info("keyspace").keys() == {"db3"}


async def test_connections_of_a_url_have_our_name() -> None:
    with RedisServer() as own:
        log = log_of(own.url)
        await log.open()
        known = own.call("CLIENT", "LIST").splitlines()
        await log.close()
    assert len([line for line in known if "name=plancast" in line]) == 2


async def begun(log: PlanLog, server: RedisServer) -> asyncio.Task[Any]:
    """A call that waits for the reply of a server that is stopped."""
    await log.open()
    await log.plans()
    server.pause()
    call = asyncio.create_task(log.plans())
    for _ in range(10):
        await asyncio.sleep(0)
    return call


async def test_a_call_under_way_fails_when_the_log_is_closed(server: RedisServer) -> None:
    log = log_of(server.url)
    call = await begun(log, server)
    try:
        await log.close()
        with pytest.raises(LogUnavailable, match="closed"):
            await call
    finally:
        server.resume()


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_event_loop_may_end_while_a_call_is_under_way(server: RedisServer) -> None:
    """`asyncio.run` cancels the tasks that are left, and reports those that raise an error instead."""
    reported: list[dict[str, Any]] = []
    calls: list[asyncio.Task[Any]] = []

    async def leave() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
        calls.append(await begun(log_of(server.url), server))

    try:
        asyncio.run(leave())
    finally:
        server.resume()
    assert calls[0].cancelled()
    assert reported == []
    calls.clear()
    gc.collect()  # the log was not closed, and its sockets warn of that


async def test_a_client_of_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "redis.sock"
    with RedisServer(unixsocket=path):
        async with Redis(unix_socket_path=str(path)) as client:
            await says_and_hears(client)


async def test_a_client_with_tls(certificate: Path) -> None:
    port = free_port()
    files: dict[str, Any] = {"tls_cert_file": certificate, "tls_key_file": certificate.with_suffix(".key")}
    with RedisServer(tls_port=port, tls_ca_cert_file=certificate, tls_auth_clients="no", **files):
        where: dict[str, Any] = {"host": "127.0.0.1", "port": port, "ssl": True}
        async with Redis(**where, ssl_ca_certs=str(certificate), ssl_min_version=ssl.TLSVersion.TLSv1_3) as client:
            await says_and_hears(client)
        with pytest.raises(LogMisconfigured, match="not trusted"):
            await log_of(Redis(**where)).open()


async def test_a_client_of_a_master_behind_sentinels() -> None:
    with SentinelSet() as servers:
        sentinel = Sentinel([("127.0.0.1", one.port) for one in servers.sentinels])  # type: ignore[no-untyped-call]
        async with sentinel.master_for("plans") as client:
            await says_and_hears(client)
        with pytest.raises(LogMisconfigured, match="master_for"):
            log_of(sentinel.slave_for("plans"))
        await sentinel.aclose()


async def test_a_client_of_a_cluster() -> None:
    with ClusterServers(replicas=False) as servers:
        nodes = [ClusterNode("127.0.0.1", node.port) for node in servers.nodes[:2]]
        async with RedisCluster(
            startup_nodes=nodes, load_balancing_strategy=LoadBalancingStrategy.ROUND_ROBIN
        ) as client:
            await says_and_hears(client)


def announces(node: RedisServer, port: int, address: str) -> bool:
    """Whether this node names the address to clients, for the master on that port."""
    return any(master[:2] == [address, port] for _, _, master, *_ in node.call("CLUSTER", "SLOTS"))


async def test_a_client_of_a_cluster_that_remaps_addresses() -> None:
    announced = "198.51.100.1"
    with ClusterServers(replicas=False, node_timeout_ms=60_000) as servers:
        first = servers.nodes[0]  # last, since nodes that know an unreachable address send nothing to it
        for node in reversed(servers.nodes):
            node.call("CONFIG", "SET", "cluster-announce-ip", announced)
            eventually("the first node knows the address", partial(announces, first, node.port, announced))

        def reachable(address: tuple[str, int]) -> tuple[str, int]:
            return ("127.0.0.1", address[1])

        async with RedisCluster(host="127.0.0.1", port=servers.nodes[0].port, address_remap=reachable) as client:
            await says_and_hears(client)


def test_a_client_given_to_a_blocking_broadcaster(server: RedisServer) -> None:
    """The client belongs to no event loop as far as the log is concerned."""
    client = Redis.from_url(server.url)
    with BlockingBroadcaster(client) as broadcaster:
        assert broadcaster.send_agent_message("in-a-thread", "Tester", "one").offset == 1
    server.call("FLUSHALL")


async def test_a_client_with_options(server: RedisServer, prefix: str) -> None:
    client = Redis(connection_pool=ConnectionPool.from_url(server.url))
    log = RedisLog(client, RedisOptions(prefix=prefix, ttl=0))
    await log.open()
    async with Broadcaster(log=log) as broadcaster:
        await broadcaster.send_agent_message("plan", "Tester", "one")
    await log.close()
    assert server.call("TTL", f"{prefix}:{{plan}}:log") == -1
    await client.aclose()


@pytest.mark.parametrize("wrong", [redis.Redis(), 7, ["redis://"]])
def test_anything_but_a_url_or_a_client_is_refused(wrong: Any) -> None:
    with pytest.raises(LogMisconfigured, match=r"redis\.asyncio"):
        Broadcaster(wrong)
