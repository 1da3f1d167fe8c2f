"""A master that is lost with events its replica did not have: readers that received them see a fork, others continue."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from broadcasters.log.contract import Checkpoint, Entry, Facts
from broadcasters.log.redis import link
from broadcasters.position import Position
from tests.contract.clients import Producer, RecordingWatcher
from tests.faults.conftest import OpenLog
from tests.faults.senders import Sender, check_log, until, until_each_appended
from tests.servers import RedisCluster, RedisServer, SentinelSet, eventually
from tests.servers.cluster import slot_of

pytestmark = pytest.mark.faults


async def test_a_stale_replica_is_promoted(open_log: OpenLog) -> None:
    with RedisServer() as master, RedisServer(replicaof=f"127.0.0.1 {master.port}") as replica:
        eventually("it is linked", lambda: replica.info("replication")["master_link_status"] == "up")
        log = await open_log(master.url)
        sender, other = Sender(log, "plan", "agent"), Sender(log, "plan", "other")
        seen = [await sender.append() for _ in range(5)]
        eventually("the replica has them", lambda: replica.call("XLEN", "plancast:{plan}:log") == 5)
        replica.call("REPLICAOF", "127.0.0.1", 1)  # the replica is cut off
        lost = [await other.append() for _ in range(3)]
        master.kill()
        replica.call("REPLICAOF", "NO", "ONE")

        promoted = await open_log(replica.url)
        head = await promoted.head("plan")
        assert {head.lineage.continuity(position, head.offset, head.floor) for position in seen} == {"ok"}
        assert {head.lineage.continuity(position, head.offset, head.floor) for position in lost} == {"ahead"}

        again = await Sender(promoted, "plan", "late").append()
        head = await promoted.head("plan")
        assert again == Position(head.lineage.epoch, 6)
        assert again.epoch != seen[0].epoch
        assert {head.lineage.continuity(position, head.offset, head.floor) for position in seen} == {"ok"}
        assert {head.lineage.continuity(position, head.offset, head.floor) for position in lost} == {"forked"}


async def test_an_append_lost_with_its_master_is_stored_when_it_is_retried(open_log: OpenLog) -> None:
    with RedisServer() as master, RedisServer(replicaof=f"127.0.0.1 {master.port}") as replica:
        eventually("it is linked", lambda: replica.info("replication")["master_link_status"] == "up")
        log, producer = await open_log(master.url), Producer("plan")
        kept = producer.batch("kept")
        await kept.to(log)
        eventually("the replica has it", lambda: replica.call("XLEN", "plancast:{plan}:log") == 1)
        replica.call("REPLICAOF", "127.0.0.1", 1)
        lost = producer.batch("lost")
        await lost.to(log)
        master.kill()
        replica.call("REPLICAOF", "NO", "ONE")

        promoted = await open_log(replica.url)
        assert list((await kept.to(promoted)).offsets) == [1]
        assert list((await lost.to(promoted)).offsets) == [2]
        assert (await promoted.head("plan")).offset == 2


async def sentinel_failover(open_log: OpenLog, sentinels: SentinelSet, *, kill: bool) -> None:
    log, watcher = await open_log(sentinels.url), RecordingWatcher()
    await log.watch("plan", watcher)
    sender = Sender(log, "plan", "agent")
    before = await sender.append()
    old = sentinels.master
    replica = next(server for server in sentinels.servers if server is not old)
    eventually("the replica has it", lambda: replica.call("XLEN", "plancast:{plan}:log") == 1)
    if kill:
        old.kill()
    else:
        sentinels.sentinels[0].call("SENTINEL", "FAILOVER", "plans")
    await watcher.until_word("resumed")
    after = await sender.append()
    await watcher.until_offset(after.offset)

    assert after == Position((await log.head("plan")).lineage.epoch, 2)
    assert after.epoch != before.epoch
    await check_log(log, [sender])


@pytest.mark.slow
async def test_sentinels_hand_over(open_log: OpenLog) -> None:
    with SentinelSet() as sentinels:
        await sentinel_failover(open_log, sentinels, kill=False)


@pytest.mark.slow
async def test_sentinels_replace_a_dead_master(open_log: OpenLog) -> None:
    with SentinelSet() as sentinels:
        await sentinel_failover(open_log, sentinels, kill=True)


async def cluster_failover(open_log: OpenLog, cluster: RedisCluster, *, kill: bool) -> None:
    """The watcher is idle, and nothing is appended meanwhile."""
    log, watcher = await open_log(cluster.url), RecordingWatcher()
    await log.watch("plan", watcher)
    sender = Sender(log, "plan", "agent")
    first = await sender.append()
    await watcher.until_offset(first.offset)
    old = cluster.holder("plan")
    replica = cluster.replica_of(old)
    eventually("the replica has it", lambda: replica.info("replication")["slave_repl_offset"] == _offset_of(old))
    if kill:
        old.kill()
    else:
        replica.call("CLUSTER", "FAILOVER")
    await watcher.until_word("resumed")
    later = await Sender(await open_log(cluster.url), "plan", "another program").append()
    await watcher.until_offset(later.offset)
    assert cluster.holder("plan") is replica
    assert later.offset == 2
    assert (await log.head("plan")).lineage.ended == ((first.epoch, 1),)


def _offset_of(master: RedisServer) -> str:
    return master.info("replication")["master_repl_offset"]


async def test_a_cluster_hands_over_a_shard_and_an_idle_watcher_receives_the_next_event(open_log: OpenLog) -> None:
    with RedisCluster() as cluster:
        await cluster_failover(open_log, cluster, kill=False)
        await slot_moves(open_log, cluster)
        await slot_moves_slowly(open_log, cluster)


@pytest.mark.slow
async def test_a_cluster_replaces_a_dead_master_and_an_idle_watcher_receives_the_next_event(open_log: OpenLog) -> None:
    with RedisCluster() as cluster:
        await cluster_failover(open_log, cluster, kill=True)


def ends_of_move(cluster: RedisCluster, plan_id: str) -> tuple[RedisServer, RedisServer]:
    """The master that holds the plan's slot, and another one."""
    masters = [node for node in cluster.masters if node.info("replication")["role"] == "master"]
    source = cluster.holder(plan_id)
    return source, next(node for node in masters if node is not source)


async def slot_moves(open_log: OpenLog, cluster: RedisCluster) -> None:
    """Moves the slot of a plan that is written and watched: nothing is lost or stored twice."""
    log, watcher = await open_log(cluster.url), RecordingWatcher()
    plan_id = "moving"
    await log.watch(plan_id, watcher)
    senders = [Sender(log, plan_id, f"agent-{i}") for i in range(4)]
    source, target = ends_of_move(cluster, plan_id)
    enough = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for sender in senders:
            group.create_task(sender.append_until(enough))
        await until_each_appended(senders)
        await asyncio.to_thread(cluster.move_slot, plan_id, source, target)
        await watcher.until_word("resumed")
        await until_each_appended(senders)
        enough.set()
    last = await senders[0].append()
    await watcher.until_offset(last.offset)
    assert cluster.holder(plan_id) is target
    await check_log(log, senders)


async def slot_moves_slowly(open_log: OpenLog, cluster: RedisCluster) -> None:
    """A reshard may take long, or stay half done: appends and reads work meanwhile, except while a plan's keys are on
    two nodes."""
    plan_id = "slow"
    fresh, unknown = (f"{name}-{same_slot(plan_id, name)}" for name in ("fresh", "unknown"))
    log, idle, watcher = await open_log(cluster.url), await open_log(cluster.url), RecordingWatcher()
    await log.watch(plan_id, watcher)
    senders = [Sender(log, plan_id, f"agent-{i}") for i in range(4)]
    source, target = ends_of_move(cluster, plan_id)
    enough = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for sender in senders:
            group.create_task(sender.append_until(enough))
        await until_each_appended(senders)
        cluster.begin_move(plan_id, source, target)
        source.call("HSET", f"plancast:{{{plan_id}}}:meta", "touched", 1)  # so that its expiry must be renewed
        await until_each_appended(senders)
        senders.append(newcomer := Sender(log, plan_id, "newcomer"))
        group.create_task(newcomer.append_until(enough))
        await until_each_appended(senders)
        assert sum(sender.retries for sender in senders) == 0
        while cluster.move_key(plan_id, source, target):
            await asyncio.sleep(0)
        await until_each_appended(senders)
        retries = sum(sender.retries for sender in senders)
        await until_each_appended(senders)
        assert (await Sender(log, fresh, "agent").append()).offset == 1
        assert (await log.heads([plan_id, fresh, unknown]))[fresh].offset == 1
        assert (await log.read(unknown, 0)).payloads == ()
        keyed = Entry(b'{"type":"agent_message","id":"k","data":{}}', "a key")
        first = await log.append(fresh, "one", 1, [keyed], Facts())
        assert (await log.append(fresh, "another", 1, [keyed], Facts())).offsets[0] == first.offsets[0]
        position = (await log.head(plan_id)).position
        assert await log.keep_checkpoint(plan_id, Checkpoint(position, b"a snapshot"), 10**6)
        assert (await log.checkpoint(plan_id)) == Checkpoint(position, b"a snapshot")
        assert await log.delete(fresh)
        assert sum(sender.retries for sender in senders) == retries
        cluster.end_move(plan_id, source, target)
        assert (await idle.read(plan_id, 0, 1)).payloads
        assert (await idle.head(plan_id)).offset > position.offset
        await watcher.until_word("resumed")
        await until_each_appended(senders)
        enough.set()
    last = await senders[0].append()
    await watcher.until_offset(last.offset)
    await check_log(log, senders)


def same_slot(plan_id: str, name: str) -> int:
    return next(n for n in itertools.count() if slot_of(f"{name}-{n}") == slot_of(plan_id))


@pytest.mark.slow
async def test_a_cluster_that_is_down_is_unavailable_and_serves_again(
    open_log: OpenLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "BEAT", 0.3)
    with RedisCluster(replicas=False, node_timeout_ms=1000) as cluster:
        log, watcher = await open_log(cluster.url), RecordingWatcher()
        await log.watch("plan", watcher)
        sender = Sender(log, "plan", "agent")
        await sender.append()
        holder = cluster.holder("plan")
        holder.kill()
        await watcher.until_word("lost")
        pending = asyncio.create_task(sender.append())
        await until(lambda: sender.retries > 0)
        holder.start()
        await watcher.until_word("resumed")
        assert (await pending).offset in {1, 2}
        await Sender(log, "plan", "another").append()
