"""Hubs that end: killed, drained, told twice; and the workers of one hub. Their clients go on elsewhere and miss nothing."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest

from tests.faults.chronicle import Chronicle
from tests.faults.readers import Reader, told_all
from tests.faults.talker import Talker
from tests.servers import RedisServer, eventually
from tests.servers.hub import HubServer

pytestmark = pytest.mark.faults

PLANS = [f"plan-{number}" for number in range(4)]


class Faithful:
    """Comes back to any of the hubs whenever it is sent away or cut off, after the hint it was given."""

    def __init__(self, reader: Reader, hubs: Sequence[HubServer]) -> None:
        self.reader = reader
        self._hubs = [hub.ws for hub in hubs]

    async def live(self) -> None:
        while True:
            await self.reader.insist(*self._hubs)
            code = await self.reader.until_closed(deadline=None)
            if code == 1012 and self.reader.hints:
                await asyncio.sleep(self.reader.hints[-1] / 1000)


async def faithful(chronicle: Chronicle, hubs: Sequence[HubServer], count: int) -> list[Faithful]:
    """All of them are connected and confirmed."""
    ones = [Faithful(Reader(chronicle, hubs[i % len(hubs)].ws, f"reader-{i}"), hubs) for i in range(count)]
    for number, one in enumerate(ones):
        await one.reader.connect()
        for plan_id in PLANS[: 1 + number % len(PLANS)]:
            one.reader.subscribe(plan_id, "start")
    for one in ones:
        await one.reader.until(lambda reader: all(stand.joined for stand in reader.stands.values()))
    return ones


def check_logs(*hubs: HubServer) -> None:
    assert [line for hub in hubs for level in ("error", "critical") for line in hub.logged(level)] == []


# ---- killed


async def survive_kills(chronicle: Chronicle, directory: Path, *, clients: int, times: int, rate: float) -> None:
    with RedisServer() as redis:
        async with HubServer(redis.url) as one, HubServer(redis.url) as other, asyncio.TaskGroup() as lives:
            ones = await faithful(chronicle, [one, other], clients)
            tasks = [lives.create_task(each.live()) for each in ones]
            readers = [each.reader for each in ones]
            async with Talker(redis.url, PLANS, directory, senders=16, rate=rate) as talker:
                for number in range(times):
                    victim = (one, other)[number % 2]
                    cut = [reader for reader in readers if reader.connected and reader.url == victim.ws]
                    assert cut
                    before = {reader: reader.connections for reader in cut}
                    await talker.until_acknowledged(int(rate) * (number + 1))
                    victim.kill()
                    for reader in cut:
                        await reader.until(partial(_came_back, before[reader]), "another hub")
                    await asyncio.to_thread(victim.start)
            tally = await told_all(readers, redis.url, talker.acks)
            for task in tasks:
                task.cancel()
            check_logs(one, other)
    assert {code for reader in readers for code in reader.closes} == {1006}
    print(f"\n{clients} clients, {times} kills, {sum(len(reader.closes) for reader in readers)} cut off: {tally}")


async def test_a_killed_hubs_clients_resume_on_the_other(tmp_path: Path, chronicle: Chronicle) -> None:
    await survive_kills(chronicle, tmp_path, clients=30, times=1, rate=400)


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_hubs_are_killed_in_turn_and_clients_go_back_and_forth(tmp_path: Path, chronicle: Chronicle) -> None:
    await survive_kills(chronicle, tmp_path, clients=200, times=8, rate=200)


# ---- drained


async def drained(chronicle: Chronicle, directory: Path, *, clients: int, window: float, rate: float) -> None:
    with RedisServer() as redis:
        async with HubServer(redis.url, drain_seconds=2 * window) as old, HubServer(redis.url) as new:
            readers = [each.reader for each in await faithful(chronicle, [old], clients)]
            async with (
                Talker(redis.url, PLANS, directory, senders=8, rate=rate) as talker,
                asyncio.TaskGroup() as lives,
            ):
                await talker.until_acknowledged(int(rate) // 2)
                old.signal(signal.SIGTERM)
                for reader in readers:
                    assert await reader.until_closed() == 1012
                status = await asyncio.to_thread(old.wait, 2 * window + 10)
                for reader in readers:
                    lives.create_task(reader.insist(new.ws))
            tally = await told_all(readers, redis.url, talker.acks)
            check_logs(old, new)
    assert status == 0
    hints = [hint / 1000 / window for reader in readers for hint in reader.hints]
    assert len(hints) == clients
    assert 0 <= min(hints) < 0.25
    assert 0.75 < max(hints) <= 1
    middle = sum(0.25 <= hint < 0.75 for hint in hints)
    assert clients * 0.25 < middle < clients * 0.75
    print(f"\n{clients} clients sent away, hints from {min(hints):.2f} to {max(hints):.2f} of the window: {tally}")


async def test_sigterm_sends_everybody_elsewhere_spread_over_the_window(tmp_path: Path, chronicle: Chronicle) -> None:
    await drained(chronicle, tmp_path, clients=60, window=2.0, rate=200)


@pytest.mark.slow
async def test_sigterm_sends_500_elsewhere(tmp_path: Path, chronicle: Chronicle) -> None:
    await drained(chronicle, tmp_path, clients=500, window=10.0, rate=100)


async def stubborn(chronicle: Chronicle, hub: HubServer) -> Reader:
    """A client that is told to go, and neither answers nor goes."""
    reader = Reader(chronicle, hub.ws, "stubborn")
    await reader.connect()
    assert reader.line is not None
    reader.line.answers_close = False
    return reader


async def refuses(hub: HubServer) -> None:
    """Whoever comes while it leaves is refused, so as to try elsewhere, and not left to wait in a queue."""
    await asyncio.to_thread(eventually, "it refuses", lambda: _refused(hub.port))
    assert hub.alive


def _refused(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=10).close()
    except ConnectionRefusedError:
        return True
    return False


async def test_a_draining_hub_takes_nobody_in_and_waits_for_no_one_for_ever(
    tmp_path: Path, chronicle: Chronicle
) -> None:
    hurried = {"hub.transports.native.CLOSING_SECONDS": 2.0}
    async with HubServer(f"sqlite:///{tmp_path / 'plans.db'}", drain_seconds=30, constants=hurried) as hub:
        reader = await stubborn(chronicle, hub)
        hub.signal(signal.SIGTERM)
        await reader.until(lambda one: one.hints, "the word to go")
        await refuses(hub)
        assert await reader.until_closed() in (1006, 1012)
        await asyncio.to_thread(hub.wait, 30)
        check_logs(hub)


async def test_a_second_signal_ends_it_at_once(tmp_path: Path, chronicle: Chronicle) -> None:
    """Before anybody's patience is over: not the closing's, not the drain's."""
    patient = {"hub.transports.native.CLOSING_SECONDS": 600.0, "hub.process.serving.GRACE": 600.0}
    log = f"sqlite:///{tmp_path / 'plans.db'}"
    async with HubServer(log, drain_seconds=600, constants=patient) as hub:
        reader = await stubborn(chronicle, hub)
        hub.signal(signal.SIGTERM)
        await reader.until(lambda one: one.hints, "the word to go")
        hub.signal(signal.SIGTERM)
        assert await asyncio.to_thread(hub.wait, 20) == -signal.SIGTERM


async def test_a_stream_and_a_poll_do_not_hold_up_the_end(tmp_path: Path, chronicle: Chronicle) -> None:
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
    """The workers tell each other their numbers once a second."""
    await asyncio.to_thread(
        eventually, f"{count} connections", lambda: hub.metric("plancast_connections", transport="native") == count
    )


def open_files(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


async def test_a_killed_worker_is_replaced_and_the_numbers_add_up(tmp_path: Path, chronicle: Chronicle) -> None:
    with RedisServer() as redis:
        async with HubServer(redis.url, workers=2) as hub, asyncio.TaskGroup() as lives:
            await asyncio.to_thread(eventually, "two workers", lambda: len(hub.workers) == 2)
            ones = await faithful(chronicle, [hub], 40)
            readers = [each.reader for each in ones]
            tasks = [lives.create_task(each.live()) for each in ones]
            async with Talker(redis.url, PLANS, tmp_path, senders=8, rate=200) as talker:
                await until_connections(hub, 40)
                survivor, victim = sorted(hub.workers, key=open_files)  # who took most of the clients in
                os.kill(victim, signal.SIGKILL)
                await asyncio.to_thread(eventually, "another one", lambda: len({*hub.workers} - {victim}) == 2)
                assert survivor in hub.workers
                await until_connections(hub, 40)
                await talker.until_acknowledged(400)
            tally = await told_all(readers, redis.url, talker.acks)
            for task in tasks:
                task.cancel()
            hub.signal(signal.SIGTERM)
            for reader in readers:
                assert await reader.until_closed() == 1012
            assert await asyncio.to_thread(hub.wait, 60) == 0
            check_logs(hub)
            cut = [reader for reader in readers if 1006 in reader.closes]
            assert cut
            print(f"\n40 clients, {len(cut)} of them on the killed worker: {tally}")


async def test_all_workers_stop_listening_when_they_leave(tmp_path: Path, chronicle: Chronicle) -> None:
    async with HubServer(f"sqlite:///{tmp_path / 'plans.db'}", workers=2, drain_seconds=30) as hub:
        readers = [await stubborn(chronicle, hub) for _ in range(8)]
        hub.signal(signal.SIGTERM)
        for reader in readers:
            await reader.until(lambda one: one.hints, "the word to go")
        await refuses(hub)
        for reader in readers:
            await reader.vanish()
        assert await asyncio.to_thread(hub.wait, 60) == 0


async def test_a_worker_that_died_is_not_replaced_by_one_that_nobody_ends(tmp_path: Path) -> None:
    """Told to leave just while it replaces a worker."""
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


def _came_back(connections: int, reader: Reader) -> bool:
    return reader.connections > connections and bool(reader.stands)


def _is_gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()
