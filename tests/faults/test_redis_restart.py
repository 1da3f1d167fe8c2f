"""A redis-server that is killed and restarted: acknowledged events are kept, and readers see the epoch change."""

from __future__ import annotations

import asyncio

import pytest

from broadcasters.position import Position
from tests.contract.clients import Producer, RecordingWatcher
from tests.faults.conftest import OpenLog
from tests.faults.senders import Sender, check_log, until_acknowledged, until_each_appended
from tests.servers import RedisServer

pytestmark = pytest.mark.faults


async def survive_kills(open_log: OpenLog, kills: int, acknowledged_between: int) -> None:
    with RedisServer(appendonly="yes", appendfsync="always") as server:
        log = await open_log(server.url)
        assert log.durability == "disk"
        senders = [Sender(log, f"plan-{i % 8}", f"agent-{i}") for i in range(64)]
        enough = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            for sender in senders:
                group.create_task(sender.append_until(enough))
            for kill in range(1, kills + 1):
                await until_acknowledged(senders, kill * acknowledged_between)
                await asyncio.to_thread(server.restart)
            await until_each_appended(senders)
            enough.set()

        assert sum(sender.retries for sender in senders) > 0
        await check_log(log, senders)
        for sender in senders:
            head = await log.head(sender.plan_id)
            positions = sender.acknowledged.values()
            assert {head.lineage.continuity(position, head.offset, head.floor) for position in positions} == {"ok"}
            assert 1 <= len(head.lineage.ended) <= kills


async def test_killed_with_aof_under_64_senders_nothing_acknowledged_is_lost_or_duplicated(open_log: OpenLog) -> None:
    await survive_kills(open_log, kills=1, acknowledged_between=500)


@pytest.mark.slow
async def test_killed_repeatedly(open_log: OpenLog) -> None:
    await survive_kills(open_log, kills=12, acknowledged_between=4000)


async def test_a_restart_ends_the_epoch_and_readers_before_its_end_continue(open_log: OpenLog) -> None:
    with RedisServer(appendonly="yes", appendfsync="always") as server:
        log = await open_log(server.url)
        sender = Sender(log, "plan", "agent")
        seen = [await sender.append() for _ in range(3)]
        await asyncio.to_thread(server.restart)
        later = await sender.append()

        head = await log.head("plan")
        assert later == Position(head.lineage.epoch, 4)
        assert head.lineage.ended == ((seen[0].epoch, 3),)
        assert {head.lineage.continuity(position, head.offset, head.floor) for position in seen} == {"ok"}


async def test_restarted_empty_it_has_a_new_lineage(open_log: OpenLog) -> None:
    with RedisServer() as server:
        log = await open_log(server.url)
        sender = Sender(log, "plan", "agent")
        seen = await sender.append(events=3)
        await asyncio.to_thread(server.restart, empty=True)
        again = Sender(log, "plan", "another")
        position = await again.append()

        head = await log.head("plan")
        assert position.offset == head.offset == 1
        assert not head.lineage.contains(seen.epoch)
        assert head.lineage.continuity(seen, head.offset, head.floor) == "epoch"
        assert [plan.plan_id for plan in (await log.plans()).plans] == ["plan"]


async def test_watchers_get_lost_and_resumed_and_receive_again(open_log: OpenLog) -> None:
    with RedisServer(appendonly="yes", appendfsync="always") as server:
        log = await open_log(server.url)
        watchers = {plan_id: RecordingWatcher() for plan_id in ("one", "two", "three")}
        for plan_id, watcher in watchers.items():
            await log.watch(plan_id, watcher)
        await asyncio.to_thread(server.restart)
        for plan_id, watcher in watchers.items():
            await watcher.until_word("resumed")
            assert watcher.words == ["lost", "resumed"]
            await Sender(log, plan_id, "agent").append()
            await watcher.until_offset(1)


async def test_an_append_stored_before_the_kill_but_not_acknowledged_is_not_stored_again(open_log: OpenLog) -> None:
    """The reply is lost, not the append: the server is killed after storing it, and the retry reaches the next server."""
    with RedisServer(appendonly="yes", appendfsync="always") as server:
        batch = Producer("plan").batch("once", "only")
        first = await batch.to(await open_log(server.url))
        await asyncio.to_thread(server.restart)
        log = await open_log(server.url)
        again = await batch.with_more("and more").to(log)

        assert list(again.offsets) == [*first.offsets, 3]
        assert (await log.head("plan")).offset == 3
