"""Hubs that are killed, drained, or signalled twice, and the workers of one hub: clients reconnect and miss nothing."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest

from tests.faults.event_recorder import EventRecorder
from tests.faults.publisher_process import PublisherProcess
from tests.faults.readers import Reader, verify_received
from tests.servers import RedisServer, eventually
from tests.servers.hub import HubServer

pytestmark = pytest.mark.faults

PLANS = [f"plan-{number}" for number in range(4)]


class ReconnectingClient:
    """Client that reconnects to any of the hubs when it is closed or cut off, after the delay that `going_away` gave."""

    def __init__(self, reader: Reader, hubs: Sequence[HubServer]) -> None:
        self.reader = reader
        self._hubs = [hub.ws for hub in hubs]

    async def run(self) -> None:
        while True:
            await self.reader.connect_with_retries(*self._hubs)
            code = await self.reader.until_closed(deadline=None)
            if code == 1012 and self.reader.hints:
                await asyncio.sleep(self.reader.hints[-1] / 1000)


async def reconnecting_clients(
    recorder: EventRecorder, hubs: Sequence[HubServer], count: int
) -> list[ReconnectingClient]:
    """Returns this many clients once all subscriptions are confirmed."""
    clients = [ReconnectingClient(Reader(recorder, hubs[i % len(hubs)].ws, f"reader-{i}"), hubs) for i in range(count)]
    for number, client in enumerate(clients):
        await client.reader.connect()
        for plan_id in PLANS[: 1 + number % len(PLANS)]:
            client.reader.subscribe(plan_id, "start")
    for client in clients:
        await client.reader.until(lambda reader: all(each.confirmed for each in reader.subscriptions.values()))
    return clients


def check_logs(*hubs: HubServer) -> None:
    assert [line for hub in hubs for level in ("error", "critical") for line in hub.logged(level)] == []


# ---- killed


async def survive_kills(recorder: EventRecorder, directory: Path, *, clients: int, times: int, rate: float) -> None:
    with RedisServer() as redis:
        async with HubServer(redis.url) as one, HubServer(redis.url) as other, asyncio.TaskGroup() as group:
            all_clients = await reconnecting_clients(recorder, [one, other], clients)
            tasks = [group.create_task(each.run()) for each in all_clients]
            readers = [each.reader for each in all_clients]
            async with PublisherProcess(redis.url, PLANS, directory, senders=16, rate=rate) as publisher:
                for number in range(times):
                    victim = (one, other)[number % 2]
                    cut = [reader for reader in readers if reader.connected and reader.url == victim.ws]
                    assert cut
                    before = {reader: reader.connections for reader in cut}
                    await publisher.until_acknowledged(int(rate) * (number + 1))
                    victim.kill()
                    for reader in cut:
                        await reader.until(partial(_reconnected, before[reader]), "another hub")
                    await asyncio.to_thread(victim.start)
            tally = await verify_received(readers, redis.url, publisher.acks)
            for task in tasks:
                task.cancel()
            check_logs(one, other)
    assert {code for reader in readers for code in reader.close_codes} == {1006}
    print(f"\n{clients} clients, {times} kills, {sum(len(reader.close_codes) for reader in readers)} cut off: {tally}")


async def test_clients_of_a_killed_hub_resume_on_the_other(tmp_path: Path, recorder: EventRecorder) -> None:
    await survive_kills(recorder, tmp_path, clients=30, times=1, rate=400)


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_hubs_are_killed_in_turn_and_clients_move_between_them(tmp_path: Path, recorder: EventRecorder) -> None:
    await survive_kills(recorder, tmp_path, clients=200, times=8, rate=200)


# ---- drained


async def drained(recorder: EventRecorder, directory: Path, *, clients: int, window: float, rate: float) -> None:
    with RedisServer() as redis:
        async with HubServer(redis.url, drain_seconds=2 * window) as old, HubServer(redis.url) as new:
            readers = [each.reader for each in await reconnecting_clients(recorder, [old], clients)]
            async with (
                PublisherProcess(redis.url, PLANS, directory, senders=8, rate=rate) as publisher,
                asyncio.TaskGroup() as group,
            ):
                await publisher.until_acknowledged(int(rate) // 2)
                old.signal(signal.SIGTERM)
                for reader in readers:
                    assert await reader.until_closed() == 1012
                status = await asyncio.to_thread(old.wait, 2 * window + 10)
                for reader in readers:
                    group.create_task(reader.connect_with_retries(new.ws))
            tally = await verify_received(readers, redis.url, publisher.acks)
            check_logs(old, new)
    assert status == 0
    hints = [hint / 1000 / window for reader in readers for hint in reader.hints]
    assert len(hints) == clients
    assert 0 <= min(hints) < 0.25
    assert 0.75 < max(hints) <= 1
    middle = sum(0.25 <= hint < 0.75 for hint in hints)
    assert clients * 0.25 < middle < clients * 0.75
    print(f"\n{clients} clients closed, hints from {min(hints):.2f} to {max(hints):.2f} of the window: {tally}")


async def test_sigterm_closes_all_clients_with_hints_spread_over_the_window(
    tmp_path: Path, recorder: EventRecorder
) -> None:
    await drained(recorder, tmp_path, clients=60, window=2.0, rate=200)


@pytest.mark.slow
async def test_sigterm_closes_500_clients(tmp_path: Path, recorder: EventRecorder) -> None:
    await drained(recorder, tmp_path, clients=500, window=10.0, rate=100)


async def unresponsive_client(recorder: EventRecorder, hub: HubServer) -> Reader:
    """A client that does not answer a close frame."""
    reader = Reader(recorder, hub.ws, "unresponsive")
    await reader.connect()
    assert reader.socket is not None
    reader.socket.answers_close = False
    return reader


async def until_refusing(hub: HubServer) -> None:
    """Waits until a draining hub refuses connections: clients must try another hub, not wait in its backlog."""
    await asyncio.to_thread(eventually, "it refuses", lambda: _refused(hub.port))
    assert hub.alive


def _refused(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=10).close()
    except ConnectionRefusedError:
        return True
    return False


async def test_a_draining_hub_refuses_connections_and_does_not_wait_forever(
    tmp_path: Path, recorder: EventRecorder
) -> None:
    short_timeouts = {"hub.transports.native.CLOSING_SECONDS": 2.0}
    async with HubServer(f"sqlite:///{tmp_path / 'plans.db'}", drain_seconds=30, constants=short_timeouts) as hub:
        reader = await unresponsive_client(recorder, hub)
        hub.signal(signal.SIGTERM)
        await reader.until(lambda one: one.hints, "`going_away`")
        await until_refusing(hub)
        assert await reader.until_closed() in (1006, 1012)
        await asyncio.to_thread(hub.wait, 30)
        check_logs(hub)


async def test_a_second_signal_ends_the_hub_at_once(tmp_path: Path, recorder: EventRecorder) -> None:
    """Without waiting for the closing timeout or the drain."""
    long_timeouts = {"hub.transports.native.CLOSING_SECONDS": 600.0, "hub.process.serving.GRACE": 600.0}
    log = f"sqlite:///{tmp_path / 'plans.db'}"
    async with HubServer(log, drain_seconds=600, constants=long_timeouts) as hub:
        reader = await unresponsive_client(recorder, hub)
        hub.signal(signal.SIGTERM)
        await reader.until(lambda one: one.hints, "`going_away`")
        hub.signal(signal.SIGTERM)
        assert await asyncio.to_thread(hub.wait, 20) == -signal.SIGTERM


async def test_an_open_stream_does_not_delay_the_exit(tmp_path: Path, recorder: EventRecorder) -> None:
    async with HubServer(f"sqlite:///{tmp_path / 'plans.db'}", drain_seconds=5) as hub:
        reader, writer = await asyncio.open_connection("127.0.0.1", hub.port)
        writer.write(b"GET /api/plans/plan-0/stream HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
        hub.signal(signal.SIGTERM)
        async with asyncio.timeout(60):
            rest = await reader.read()
        assert b'"going_away"' in rest
        writer.close()
        await asyncio.to_thread(hub.wait, 30)
        check_logs(hub)


# ---- workers


async def until_connections(hub: HubServer, count: int) -> None:
    """Waits for this number; workers exchange their counts once a second."""
    await asyncio.to_thread(
        eventually,
        f"{count} connections",
        lambda: hub.metric("plancast_connections", transport="native") == count,
        90.0,
    )


def open_files(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


async def test_a_killed_worker_is_replaced_and_the_connection_counts_add_up(
    tmp_path: Path, recorder: EventRecorder
) -> None:
    with RedisServer() as redis:
        async with HubServer(redis.url, workers=2) as hub, asyncio.TaskGroup() as group:
            await asyncio.to_thread(eventually, "two workers", lambda: len(hub.workers) == 2)
            all_clients = await reconnecting_clients(recorder, [hub], 40)
            readers = [each.reader for each in all_clients]
            tasks = [group.create_task(each.run()) for each in all_clients]
            async with PublisherProcess(redis.url, PLANS, tmp_path, senders=8, rate=200) as publisher:
                await until_connections(hub, 40)
                survivor, victim = sorted(hub.workers, key=open_files)  # the victim has most of the clients
                os.kill(victim, signal.SIGKILL)
                await asyncio.to_thread(eventually, "a new worker", lambda: len({*hub.workers} - {victim}) == 2)
                assert survivor in hub.workers
                await until_connections(hub, 40)
                await publisher.until_acknowledged(400)
            tally = await verify_received(readers, redis.url, publisher.acks)
            for task in tasks:
                task.cancel()
            hub.signal(signal.SIGTERM)
            for reader in readers:
                assert await reader.until_closed() == 1012
            assert await asyncio.to_thread(hub.wait, 60) == 0
            check_logs(hub)
            cut = [reader for reader in readers if 1006 in reader.close_codes]
            assert cut
            print(f"\n40 clients, {len(cut)} of them on the killed worker: {tally}")


async def test_all_workers_stop_listening_when_they_drain(tmp_path: Path, recorder: EventRecorder) -> None:
    async with HubServer(f"sqlite:///{tmp_path / 'plans.db'}", workers=2, drain_seconds=30) as hub:
        readers = [await unresponsive_client(recorder, hub) for _ in range(8)]
        hub.signal(signal.SIGTERM)
        for reader in readers:
            await reader.until(lambda one: one.hints, "`going_away`")
        await until_refusing(hub)
        for reader in readers:
            await reader.reset()
        assert await asyncio.to_thread(hub.wait, 60) == 0


async def test_a_worker_that_is_being_replaced_ends_with_its_hub(tmp_path: Path) -> None:
    """Delivery to leave just while it replaces a worker."""
    async with HubServer(f"sqlite:///{tmp_path / 'plans.db'}", workers=2) as hub:
        await asyncio.to_thread(eventually, "two workers", lambda: len(hub.workers) == 2)
        victim, survivor = hub.workers
        os.kill(victim, signal.SIGKILL)
        await asyncio.to_thread(eventually, "its parent has seen it", lambda: not Path(f"/proc/{victim}").exists())
        hub.signal(signal.SIGTERM)
        assert await asyncio.to_thread(hub.wait, 30) == 0
        await asyncio.to_thread(eventually, "all ended", lambda: not Path(f"/proc/{survivor}").exists())


async def test_workers_do_not_outlive_their_parent(tmp_path: Path) -> None:
    async with HubServer(f"sqlite:///{tmp_path / 'plans.db'}", workers=2) as hub:
        await asyncio.to_thread(eventually, "two workers", lambda: len(hub.workers) == 2)
        workers = hub.workers
        hub.signal(signal.SIGKILL)
        await asyncio.to_thread(hub.wait, 30)
        try:
            for worker in workers:
                await asyncio.to_thread(eventually, "it ends", partial(_is_gone, worker))
        finally:
            for worker in workers:
                if Path(f"/proc/{worker}").exists():
                    os.kill(worker, signal.SIGKILL)


def _reconnected(connections: int, reader: Reader) -> bool:
    return reader.connections > connections and bool(reader.subscriptions)


def _is_gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()
