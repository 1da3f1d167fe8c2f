"""Weather we know: peers that are gone and don't say so, a replica that was behind, a Cluster that fails over in silence."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path

import pytest

from broadcasters import Broadcaster
from tests.faults.chronicle import Chronicle
from tests.faults.readers import Reader, told_all
from tests.servers import Proxy, RedisCluster, RedisServer, eventually
from tests.servers.hub import HubServer

pytestmark = pytest.mark.faults

HURRIED = {"hub.transports.native.HEARTBEAT_SECONDS": 1.0, "hub.transports.native.SILENCE_SECONDS": 1.0}


async def until_connections(hub: HubServer, count: int, deadline_s: float = 60.0) -> None:
    true = partial(_has_connections, hub, count)
    await asyncio.to_thread(eventually, f"{count} connections", true, deadline_s)


def _has_connections(hub: HubServer, count: int) -> bool:
    return hub.metric("plancast_connections", transport="native") == count


async def told(broadcaster: Broadcaster, plan_id: str, first: int, last: int) -> None:
    for number in range(first, last + 1):
        await broadcaster.send_agent_message(plan_id, "Teller", f"{plan_id} {number}")


async def told_on_and_on(broadcaster: Broadcaster, plan_id: str) -> None:
    while True:
        await broadcaster.send_agent_message(plan_id, "Teller", "on and on")
        await asyncio.sleep(0.01)


# ---- peers that are gone


async def half_open(chronicle: Chronicle, log: str, constants: dict[str, float] | None, deadline_s: float) -> None:
    """Some are idle, some are told something all the while; the line between them and the hub is dead."""
    async with (
        HubServer(log, constants=constants) as hub,
        Proxy(hub.port) as proxy,
        Broadcaster(log) as broadcaster,
    ):
        healthy = Reader(chronicle, hub.ws, "healthy")
        gone = [Reader(chronicle, f"ws://127.0.0.1:{proxy.port}/ws/streaming", f"gone-{i}") for i in range(6)]
        for reader in (healthy, *gone):
            await reader.connect()
        for reader in (healthy, *gone[:3]):
            reader.subscribe("plan")
            await reader.until(lambda one: one.at("plan") == 0)
        await told(broadcaster, "plan", 1, 5)
        proxy.silence()
        telling = asyncio.create_task(told_on_and_on(broadcaster, "plan"))
        await until_connections(hub, 1, deadline_s)
        telling.cancel()
        proxy.heal()
        for reader in gone:
            assert await reader.until_closed() == 1006
            await reader.connect()
        await told_all([healthy, *gone[:3]], log)
        assert healthy.closes == []


async def test_half_open_clients_are_let_go(tmp_path: Path, chronicle: Chronicle) -> None:
    await half_open(chronicle, f"sqlite:///{tmp_path / 'plans.db'}", HURRIED, 30.0)


@pytest.mark.slow
async def test_half_open_clients_are_let_go_within_heartbeat_and_silence(tmp_path: Path, chronicle: Chronicle) -> None:
    await half_open(chronicle, f"sqlite:///{tmp_path / 'plans.db'}", None, 25.0 + 10.0 + 20.0)


async def never_reading(chronicle: Chronicle, log: str, constants: dict[str, float] | None, deadline_s: float) -> None:
    """Not so much waits for it that it would count as slow; its window is just closed. It may not stay for ever."""
    async with HubServer(log, constants=constants) as hub, Broadcaster(log) as broadcaster:
        reader = Reader(chronicle, hub.ws, receive_buffer=4096)
        await reader.connect()
        assert reader.line is not None
        reader.line.stop_reading()
        reader.subscribe("plan")
        for number in range(10):
            await broadcaster.send_agent_message("plan", "Teller", f"{number} " + "x" * 3000)
        await until_connections(hub, 1)
        await until_connections(hub, 0, deadline_s)
        assert hub.metric("plancast_slow_consumers_total") == 0
        reader.line.read_on()
        assert await reader.until_closed() == 1006
        await reader.connect()
        await told_all([reader], log)


async def test_a_closed_window_is_no_place_to_stay(tmp_path: Path, chronicle: Chronicle) -> None:
    await never_reading(chronicle, f"sqlite:///{tmp_path / 'plans.db'}", HURRIED, 30.0)


@pytest.mark.slow
async def test_a_closed_window_is_no_place_to_stay_as_the_kernel_sees_it(tmp_path: Path, chronicle: Chronicle) -> None:
    """Without heartbeats at all: TCP_USER_TIMEOUT of the listener alone."""
    deaf = {"hub.transports.native.HEARTBEAT_SECONDS": 100_000.0}
    await never_reading(chronicle, f"sqlite:///{tmp_path / 'plans.db'}", deaf, 75.0)


# ---- Redis


class Diversion(Proxy):
    """A line that can be led to another server, as an address that moves with a failover."""

    def lead_to(self, port: int) -> None:
        self._server_port = port
        self.cut()


async def test_a_stale_replica_is_promoted_under_a_hub(chronicle: Chronicle) -> None:
    """Whoever saw what is lost is told and gets a snapshot; whoever saw less, or watches another plan, just goes on."""
    with RedisServer() as master, RedisServer(replicaof=f"127.0.0.1 {master.port}") as replica:
        eventually("it is linked", lambda: replica.info("replication")["master_link_status"] == "up")
        async with Diversion(master.port) as line, HubServer(line.url) as hub:
            names = ("stays", "left with 5", "left with 8", "elsewhere")
            stays, five, eight, elsewhere = readers = [Reader(chronicle, hub.ws, name) for name in names]
            for reader in readers:
                await reader.connect()
                reader.subscribe("calm" if reader is elsewhere else "plan", "start")
            async with Broadcaster(master.url) as broadcaster:
                await told(broadcaster, "calm", 1, 3)
                await told(broadcaster, "plan", 1, 5)
                await five.until_at("plan", 5)
                await five.leave()
                eventually("the replica has it", lambda: replica.call("XLEN", "plancast:{plan}:log") == 5)
                replica.call("REPLICAOF", "127.0.0.1", 1)  # the replica's line is cut
                await told(broadcaster, "plan", 6, 8)
            await stays.until_at("plan", 8)
            await eight.until_at("plan", 8)
            await eight.leave()
            master.kill()
            replica.call("REPLICAOF", "NO", "ONE")
            line.lead_to(replica.port)

            await stays.until(lambda one: one.reasons and one.at("plan") == 5, "the truth")
            await hub.until_ready(True, 30.0)
            await five.connect()
            async with Broadcaster(replica.url) as broadcaster:
                await told(broadcaster, "plan", 6, 7)
                await told(broadcaster, "calm", 4, 4)
            await eight.connect()
            for reader in (stays, five, eight):
                await reader.until_at("plan", 7)
            await elsewhere.until_at("calm", 4)
            tally = await told_all(readers, replica.url)
            assert [dict(reader.reasons) for reader in readers] == [{"ahead": 1}, {}, {"forked": 1}, {}]
            assert stays.closes == elsewhere.closes == []
            print(f"\n{tally}")


async def cluster_failover(chronicle: Chronicle, *, kill: bool) -> None:
    """Nobody appends meanwhile; the hub has to notice by itself that its channel moved."""
    with RedisCluster() as cluster:
        async with HubServer(cluster.url) as hub:
            reader = Reader(chronicle, hub.ws)
            await reader.connect()
            reader.subscribe("plan", "start")
            async with Broadcaster(cluster.url) as broadcaster:
                await told(broadcaster, "plan", 1, 1)
            await reader.until_at("plan", 1)
            old = cluster.holder("plan")
            replica = cluster.replica_of(old)
            eventually(
                "the replica has it",
                lambda: (
                    replica.info("replication")["slave_repl_offset"] == old.info("replication")["master_repl_offset"]
                ),
            )
            if kill:
                old.kill()
            else:
                replica.call("CLUSTER", "FAILOVER")
            await asyncio.to_thread(
                eventually, "it is the master", lambda: replica.info("replication")["role"] == "master"
            )
            async with Broadcaster(cluster.url) as another:
                await told(another, "plan", 2, 2)
            await reader.until_at("plan", 2)
            assert reader.closes == []
            assert not reader.reasons
            await hub.until_ready(True, 30.0)


async def test_an_idle_cluster_fails_over_and_the_next_event_is_heard(chronicle: Chronicle) -> None:
    await cluster_failover(chronicle, kill=False)


@pytest.mark.slow
async def test_an_idle_clusters_master_dies_and_the_next_event_is_heard(chronicle: Chronicle) -> None:
    await cluster_failover(chronicle, kill=True)
