"""Connections to Redis that are killed or stall: nothing is lost or stored twice, and watchers get `lost` and `resumed`."""

from __future__ import annotations

import asyncio

import pytest

from broadcasters.errors import LogUnavailable
from broadcasters.log.contract import PlanLog
from broadcasters.log.redis import link, opening
from tests.contract.clients import Producer, RecordingWatcher
from tests.faults.conftest import OpenLog
from tests.faults.senders import Sender, check_log, until, until_acknowledged, until_each_appended
from tests.servers import Proxy, RedisServer

pytestmark = pytest.mark.faults


@pytest.fixture
def short_timeouts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tenths of a second instead of seconds."""
    monkeypatch.setattr(link, "BEAT", 0.15)
    monkeypatch.setattr(opening, "OPEN_PATIENCE", 0.5)


async def under_load(open_log: OpenLog, server: RedisServer, *faults: tuple[object, ...], times: int) -> PlanLog:
    log = await open_log(server.url)
    senders = [Sender(log, f"plan-{i % 4}", f"agent-{i}") for i in range(16)]
    enough = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for sender in senders:
            group.create_task(sender.append_until(enough))
        for time in range(times):
            await until_acknowledged(senders, (time + 1) * 50)
            for command in faults:
                await asyncio.to_thread(server.call, *command)
        enough.set()
    await check_log(log, senders)
    return log


async def test_the_scripts_and_functions_are_flushed_under_load(open_log: OpenLog) -> None:
    with RedisServer() as server:
        log = await under_load(open_log, server, ("FUNCTION", "FLUSH"), ("SCRIPT", "FLUSH"), times=20)
        assert int(server.info("errorstats")["errorstat_ERR"].partition("=")[2]) >= 1
        heads = await log.heads([f"plan-{i}" for i in range(4)])
        assert [head.lineage.ended for head in heads.values()] == [()] * 4, "the server has not changed"


async def test_writers_are_killed_under_load(open_log: OpenLog) -> None:
    with RedisServer() as server:
        await under_load(open_log, server, ("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"), times=20)


async def test_killed_tails_reconnect_and_watchers_miss_nothing_after_resumed(open_log: OpenLog) -> None:
    with RedisServer() as server:
        log, watcher = await open_log(server.url), RecordingWatcher()
        await log.watch("plan", watcher)
        sender = Sender(log, "plan", "agent")
        for kill in range(1, 6):
            await sender.append()
            server.call("CLIENT", "KILL", "TYPE", "pubsub")
            await watcher.until(lambda watcher, kill=kill: watcher.words.count("resumed") == kill)  # type: ignore[misc]
            assert watcher.words == ["lost", "resumed"] * kill
            position = await sender.append()
            await watcher.until_offset(position.offset)


async def connection_stalls(open_log: OpenLog) -> None:
    with RedisServer() as server:
        async with Proxy(server.port) as proxy:
            far, near, watcher = await open_log(proxy.url), await open_log(server.url), RecordingWatcher()
            await far.watch("plan", watcher)
            writing = Sender(far, "plan", "far")
            await writing.append()
            proxy.silence()
            blocked = asyncio.create_task(writing.append())
            await watcher.until_word("lost")
            missed = await Sender(near, "plan", "near").append()
            proxy.heal()

            await watcher.until_word("resumed")
            await blocked
            last = await Sender(near, "plan", "later").append()
            await watcher.until_offset(last.offset)
            assert missed.offset in {2, 3}
            assert last.offset == 4
            await check_log(near, [writing])


@pytest.mark.usefixtures("short_timeouts")
async def test_a_stalled_connection_is_lost_and_resumes_when_it_heals(open_log: OpenLog) -> None:
    await connection_stalls(open_log)


@pytest.mark.slow
async def test_a_stalled_connection_with_the_default_timeouts(open_log: OpenLog) -> None:
    await connection_stalls(open_log)


async def server_stalls(open_log: OpenLog, seconds: float) -> None:
    """The server processes what it was sent before it was stopped, and the retries too: each event is stored once."""
    with RedisServer() as server:
        log = await open_log(server.url)
        senders = [Sender(log, "plan", f"agent-{i}") for i in range(8)]
        enough = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            for sender in senders:
                group.create_task(sender.append_until(enough))
            await until_each_appended(senders)
            server.pause()
            asyncio.get_running_loop().call_later(seconds, server.resume)
            await until(lambda: sum(sender.retries for sender in senders) >= 8)
            await until_each_appended(senders)
            enough.set()
        await check_log(log, senders)


@pytest.mark.usefixtures("short_timeouts")
async def test_the_server_stalls_and_nothing_is_stored_twice(open_log: OpenLog) -> None:
    await server_stalls(open_log, 1.0)


@pytest.mark.slow
async def test_the_server_stalls_for_eight_seconds(open_log: OpenLog) -> None:
    await server_stalls(open_log, 8.0)


async def test_cancelled_appends_do_not_mix_up_replies(open_log: OpenLog) -> None:
    with RedisServer() as server:
        log = await open_log(server.url)
        connections = int(server.info("stats")["total_connections_received"])
        producers = [Producer(f"plan-{i}") for i in range(100)]
        tasks = [asyncio.create_task(producer.batch("cancelled").to(log)) for producer in producers]
        await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        done = await asyncio.gather(*tasks, return_exceptions=True)

        assert all(isinstance(one, asyncio.CancelledError) for one in done[::2])
        for producer in producers:
            repeated = await producer.batch("repeated").to(log)
            head = await log.head(producer.plan_id)
            assert (repeated.epoch, repeated.offsets[-1]) == head.position
        assert int(server.info("stats")["total_connections_received"]) == connections + 1, "one for this call"


@pytest.mark.usefixtures("short_timeouts")
async def test_calls_fail_while_the_server_is_down_and_the_same_log_works_afterwards(open_log: OpenLog) -> None:
    with RedisServer(appendonly="yes") as server:
        log, watcher = await open_log(server.url), RecordingWatcher()
        await log.watch("plan", watcher)
        server.kill()
        await watcher.until_word("lost")
        with pytest.raises(LogUnavailable, match="refused"):
            await Producer("plan").batch("x").to(log)
        with pytest.raises(LogUnavailable):
            await log.heads(["plan"])
        with pytest.raises(LogUnavailable):
            await log.watch("another", RecordingWatcher())

        server.start()
        await watcher.until_word("resumed")
        position = await Sender(log, "plan", "agent").append()
        await watcher.until_offset(position.offset)
