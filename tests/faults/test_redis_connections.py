"""Connections that are killed or fall silent, and paused servers: nothing is lost or stored twice, and watchers are told."""

from __future__ import annotations

import asyncio

import pytest

from broadcasters.errors import LogUnavailable
from broadcasters.log.contract import PlanLog
from broadcasters.log.redis import link, opening
from tests.contract.clients import Producer, RecordingWatcher
from tests.faults.conftest import OpenLog
from tests.faults.senders import Sender, all_said_more, check_story, said_in_all, until
from tests.servers import Proxy, RedisServer

pytestmark = pytest.mark.faults


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten timeouts from seconds to tenths of them."""
    monkeypatch.setattr(link, "BEAT", 0.15)
    monkeypatch.setattr(opening, "OPEN_PATIENCE", 0.5)


async def under_load(open_log: OpenLog, server: RedisServer, *trouble: tuple[object, ...], times: int) -> PlanLog:
    log = await open_log(server.url)
    senders = [Sender(log, f"plan-{i % 4}", f"agent-{i}") for i in range(16)]
    enough = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for sender in senders:
            group.create_task(sender.until(enough))
        for time in range(times):
            await said_in_all(senders, (time + 1) * 50)
            for command in trouble:
                await asyncio.to_thread(server.call, *command)
        enough.set()
    await check_story(log, senders)
    return log


async def test_the_scripts_and_functions_are_flushed_under_load(open_log: OpenLog) -> None:
    with RedisServer() as server:
        log = await under_load(open_log, server, ("FUNCTION", "FLUSH"), ("SCRIPT", "FLUSH"), times=20)
        assert int(server.info("errorstats")["errorstat_ERR"].partition("=")[2]) >= 1
        heads = await log.heads([f"plan-{i}" for i in range(4)])
        assert [head.lineage.ended for head in heads.values()] == [()] * 4, "it is the same server still"


async def test_writers_are_killed_under_load(open_log: OpenLog) -> None:
    with RedisServer() as server:
        await under_load(open_log, server, ("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"), times=20)


async def test_tails_are_killed_and_watchers_miss_nothing_without_notice(open_log: OpenLog) -> None:
    with RedisServer() as server:
        log, heard = await open_log(server.url), RecordingWatcher()
        await log.watch("plan", heard)
        sender = Sender(log, "plan", "agent")
        for kill in range(1, 6):
            await sender.say()
            server.call("CLIENT", "KILL", "TYPE", "pubsub")
            await heard.until(lambda heard, kill=kill: heard.words.count("resumed") == kill)  # type: ignore[misc]
            assert heard.words == ["lost", "resumed"] * kill
            place = await sender.say()
            await heard.until_offset(place.offset)


async def falls_silent(open_log: OpenLog) -> None:
    with RedisServer() as server:
        async with Proxy(server.port) as proxy:
            far, near, heard = await open_log(proxy.url), await open_log(server.url), RecordingWatcher()
            await far.watch("plan", heard)
            writing = Sender(far, "plan", "far")
            await writing.say()
            proxy.silence()
            blocked = asyncio.create_task(writing.say())
            await heard.until_word("lost")
            missed = await Sender(near, "plan", "near").say()
            proxy.heal()

            await heard.until_word("resumed")
            await blocked
            last = await Sender(near, "plan", "later").say()
            await heard.until_offset(last.offset)
            assert missed.offset in {2, 3}
            assert last.offset == 4
            await check_story(near, [writing])


@pytest.mark.usefixtures("impatient")
async def test_a_connection_falls_silent_watchers_are_told_and_all_resumes_when_it_heals(open_log: OpenLog) -> None:
    await falls_silent(open_log)


@pytest.mark.slow
async def test_a_connection_falls_silent_with_real_timeouts(open_log: OpenLog) -> None:
    await falls_silent(open_log)


async def stands_still(open_log: OpenLog, seconds: float) -> None:
    """A paused server executes afterwards what it was sent, and then its repetitions: each event is stored once."""
    with RedisServer() as server:
        log = await open_log(server.url)
        senders = [Sender(log, "plan", f"agent-{i}") for i in range(8)]
        enough = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            for sender in senders:
                group.create_task(sender.until(enough))
            await all_said_more(senders)
            server.pause()
            asyncio.get_running_loop().call_later(seconds, server.resume)
            await until(lambda: sum(sender.repetitions for sender in senders) >= 8)
            await all_said_more(senders)
            enough.set()
        await check_story(log, senders)


@pytest.mark.usefixtures("impatient")
async def test_the_server_is_paused_and_nothing_is_stored_twice(open_log: OpenLog) -> None:
    await stands_still(open_log, 1.0)


@pytest.mark.slow
async def test_the_server_is_paused_for_eight_seconds(open_log: OpenLog) -> None:
    await stands_still(open_log, 8.0)


async def test_cancelled_appends_do_not_mix_up_replies(open_log: OpenLog) -> None:
    with RedisServer() as server:
        log = await open_log(server.url)
        connections = int(server.info("stats")["total_connections_received"])
        producers = [Producer(f"plan-{i}") for i in range(100)]
        tasks = [asyncio.create_task(producer.batch("given up").to(log)) for producer in producers]
        await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        done = await asyncio.gather(*tasks, return_exceptions=True)

        assert all(isinstance(one, asyncio.CancelledError) for one in done[::2])
        for producer in producers:
            repeated = await producer.batch("said").to(log)
            head = await log.head(producer.plan_id)
            assert (repeated.epoch, repeated.offsets[-1]) == head.position
        assert int(server.info("stats")["total_connections_received"]) == connections + 1, "only our own question"


@pytest.mark.usefixtures("impatient")
async def test_calls_fail_while_the_server_is_down_and_work_when_it_is_back(open_log: OpenLog) -> None:
    with RedisServer(appendonly="yes") as server:
        log, heard = await open_log(server.url), RecordingWatcher()
        await log.watch("plan", heard)
        server.kill()
        await heard.until_word("lost")
        with pytest.raises(LogUnavailable, match="refused"):
            await Producer("plan").batch("x").to(log)
        with pytest.raises(LogUnavailable):
            await log.heads(["plan"])
        with pytest.raises(LogUnavailable):
            await log.watch("another", RecordingWatcher())

        server.start()
        await heard.until_word("resumed")
        place = await Sender(log, "plan", "agent").say()
        await heard.until_offset(place.offset)
