"""Known network faults: half-open connections, a stale replica that is promoted, a failover of an idle Cluster."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path

import pytest

from broadcasters import Broadcaster
from tests.faults.event_recorder import EventRecorder
from tests.faults.readers import Reader, verify_received
from tests.servers import Proxy, RedisCluster, RedisServer, eventually
from tests.servers.hub import HubServer

pytestmark = pytest.mark.faults

SHORT_TIMEOUTS = {"hub.transports.native.HEARTBEAT_SECONDS": 1.0, "hub.transports.native.SILENCE_SECONDS": 1.0}


async def until_connections(hub: HubServer, count: int, deadline_s: float = 60.0) -> None:
    true = partial(_has_connections, hub, count)
    await asyncio.to_thread(eventually, f"{count} connections", true, deadline_s)


def _has_connections(hub: HubServer, count: int) -> bool:
    return hub.metric("plancast_connections", transport="native") == count


async def publish(broadcaster: Broadcaster, plan_id: str, first: int, last: int) -> None:
    for number in range(first, last + 1):
        await broadcaster.send_agent_message(plan_id, "Agent", f"{plan_id} {number}")


async def publish_continuously(broadcaster: Broadcaster, plan_id: str) -> None:
    while True:
        await broadcaster.send_agent_message(plan_id, "Agent", "again and again")
        await asyncio.sleep(0.01)


# ---- half-open connections


async def half_open(recorder: EventRecorder, log: str, constants: dict[str, float] | None, deadline_s: float) -> None:
    """Some clients are idle, some have events on the way; the connection between them and the hub stalls."""
    async with (
        HubServer(log, constants=constants) as hub,
        Proxy(hub.port) as proxy,
        Broadcaster(log) as broadcaster,
    ):
        healthy = Reader(recorder, hub.ws, "healthy")
        gone = [Reader(recorder, f"ws://127.0.0.1:{proxy.port}/ws/streaming", f"gone-{i}") for i in range(6)]
        for reader in (healthy, *gone):
            await reader.connect()
        for reader in (healthy, *gone[:3]):
            reader.subscribe("plan")
            await reader.until(lambda one: one.at("plan") == 0)
        await publish(broadcaster, "plan", 1, 5)
        proxy.silence()
        publishing = asyncio.create_task(publish_continuously(broadcaster, "plan"))
        await until_connections(hub, 1, deadline_s)
        publishing.cancel()
        proxy.heal()
        for reader in gone:
            assert await reader.until_closed() == 1006
            await reader.connect()
        await verify_received([healthy, *gone[:3]], log)
        assert healthy.close_codes == []


async def test_half_open_connections_are_closed(tmp_path: Path, recorder: EventRecorder) -> None:
    await half_open(recorder, f"sqlite:///{tmp_path / 'plans.db'}", SHORT_TIMEOUTS, 30.0)


@pytest.mark.slow
async def test_half_open_connections_are_closed_within_heartbeat_and_silence(
    tmp_path: Path, recorder: EventRecorder
) -> None:
    await half_open(recorder, f"sqlite:///{tmp_path / 'plans.db'}", None, 25.0 + 10.0 + 20.0)


async def closed_window(
    recorder: EventRecorder, log: str, constants: dict[str, float] | None, deadline_s: float
) -> None:
    """Too little is queued for the client to count as slow, but its TCP window is closed: it must not stay forever."""
    async with HubServer(log, constants=constants) as hub, Broadcaster(log) as broadcaster:
        reader = Reader(recorder, hub.ws, receive_buffer=4096)
        await reader.connect()
        assert reader.socket is not None
        reader.socket.stop_reading()
        reader.subscribe("plan")
        for number in range(10):
            await broadcaster.send_agent_message("plan", "Agent", f"{number} " + "x" * 3000)
        await until_connections(hub, 1)
        await until_connections(hub, 0, deadline_s)
        assert hub.metric("plancast_slow_consumers_total") == 0
        reader.socket.resume_reading()
        assert await reader.until_closed() == 1006
        await reader.connect()
        await verify_received([reader], log)


async def test_a_connection_with_a_closed_window_is_closed(tmp_path: Path, recorder: EventRecorder) -> None:
    await closed_window(recorder, f"sqlite:///{tmp_path / 'plans.db'}", SHORT_TIMEOUTS, 30.0)


@pytest.mark.slow
async def test_a_connection_with_a_closed_window_is_closed_by_the_kernel(
    tmp_path: Path, recorder: EventRecorder
) -> None:
    """Without heartbeats: only by TCP_USER_TIMEOUT on the listening socket."""
    no_heartbeats = {"hub.transports.native.HEARTBEAT_SECONDS": 100_000.0}
    await closed_window(recorder, f"sqlite:///{tmp_path / 'plans.db'}", no_heartbeats, 75.0)


# ---- Redis


class RedirectableProxy(Proxy):
    """Proxy that can be redirected to another server, like an address that moves with a failover."""

    def redirect(self, port: int) -> None:
        self._server_port = port
        self.cut()


async def test_a_stale_replica_is_promoted_under_a_hub(recorder: EventRecorder) -> None:
    """A client that received lost events gets a snapshot; one that did not, or watches another plan, just continues."""
    with RedisServer() as master, RedisServer(replicaof=f"127.0.0.1 {master.port}") as replica:
        eventually("it is linked", lambda: replica.info("replication")["master_link_status"] == "up")
        async with RedirectableProxy(master.port) as proxy, HubServer(proxy.url) as hub:
            names = ("stays", "left with 5", "left with 8", "elsewhere")
            stays, five, eight, elsewhere = readers = [Reader(recorder, hub.ws, name) for name in names]
            for reader in readers:
                await reader.connect()
                reader.subscribe("calm" if reader is elsewhere else "plan", "start")
            async with Broadcaster(master.url) as broadcaster:
                await publish(broadcaster, "calm", 1, 3)
                await publish(broadcaster, "plan", 1, 5)
                await five.until_at("plan", 5)
                await five.close()
                eventually("the replica has it", lambda: replica.call("XLEN", "plancast:{plan}:log") == 5)
                replica.call("REPLICAOF", "127.0.0.1", 1)  # the replica is cut off
                await publish(broadcaster, "plan", 6, 8)
            await stays.until_at("plan", 8)
            await eight.until_at("plan", 8)
            await eight.close()
            master.kill()
            replica.call("REPLICAOF", "NO", "ONE")
            proxy.redirect(replica.port)

            await stays.until(lambda one: one.reasons and one.at("plan") == 5, "the snapshot")
            await hub.until_ready(True, 30.0)
            await five.connect()
            async with Broadcaster(replica.url) as broadcaster:
                await publish(broadcaster, "plan", 6, 7)
                await publish(broadcaster, "calm", 4, 4)
            await eight.connect()
            for reader in (stays, five, eight):
                await reader.until_at("plan", 7)
            await elsewhere.until_at("calm", 4)
            tally = await verify_received(readers, replica.url)
            assert [dict(reader.reasons) for reader in readers] == [{"ahead": 1}, {}, {"forked": 1}, {}]
            assert stays.close_codes == elsewhere.close_codes == []
            print(f"\n{tally}")


async def cluster_failover(recorder: EventRecorder, *, kill: bool) -> None:
    """Nothing is appended meanwhile: the hub must notice by itself that its channel has moved."""
    with RedisCluster() as cluster:
        async with HubServer(cluster.url) as hub:
            reader = Reader(recorder, hub.ws)
            await reader.connect()
            reader.subscribe("plan", "start")
            async with Broadcaster(cluster.url) as broadcaster:
                await publish(broadcaster, "plan", 1, 1)
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
                await publish(another, "plan", 2, 2)
            await reader.until_at("plan", 2)
            assert reader.close_codes == []
            assert not reader.reasons
            await hub.until_ready(True, 30.0)


async def test_an_idle_cluster_fails_over_and_the_next_event_arrives(recorder: EventRecorder) -> None:
    await cluster_failover(recorder, kill=False)


@pytest.mark.slow
async def test_the_master_of_an_idle_cluster_is_killed_and_the_next_event_arrives(recorder: EventRecorder) -> None:
    await cluster_failover(recorder, kill=True)
