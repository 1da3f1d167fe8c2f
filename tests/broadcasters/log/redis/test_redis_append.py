"""What an append stores in Redis, beyond the contract."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from broadcasters.log.contract import Checkpoint, Entry, Facts
from broadcasters.log.redis import RedisLog
from broadcasters.position import Position
from tests.contract.clients import Producer, RecordingWatcher
from tests.servers import RedisServer

DAY = 86_400


def ttl_of(server: RedisServer, key: str) -> int:
    seconds: int = server.call("TTL", key)
    return seconds


async def test_all_of_a_plan_is_in_one_slot(log: RedisLog, server: RedisServer, prefix: str) -> None:
    await Producer("plan").batch("a", "b", keys=["once", None]).to(log)
    assert sorted(server.call("KEYS", f"{prefix}:{{*")) == [
        f"{prefix}:{{plan}}:{part}" for part in ("keys", "log", "meta")
    ]
    assert [entry[0] for entry in server.call("XRANGE", f"{prefix}:{{plan}}:log", "-", "+")] == ["1-0", "2-0"]


async def test_plans_expire_thirty_days_after_their_last_event(log: RedisLog, server: RedisServer, prefix: str) -> None:
    producer, stem = Producer("plan"), f"{prefix}:{{plan}}:"
    await producer.batch("a", keys=["once"]).to(log)
    for part in ("log", "meta", "keys"):
        assert 29 * DAY < ttl_of(server, stem + part) <= 30 * DAY
        server.call("EXPIRE", stem + part, 20 * DAY)
    await producer.batch("b").to(log)
    assert ttl_of(server, stem + "log") <= 20 * DAY, "not every append renews it"
    server.call("HSET", stem + "meta", "touched", int(time.time()) - DAY)
    await producer.batch("c").to(log)
    for part in ("log", "meta", "keys"):
        assert 29 * DAY < ttl_of(server, stem + part) <= 30 * DAY


async def test_keys_added_later_expire_with_the_plan(log: RedisLog, server: RedisServer, prefix: str) -> None:
    producer = Producer("plan")
    await producer.batch("a").to(log)
    await producer.batch("b", keys=["once"]).to(log)
    assert 29 * DAY < ttl_of(server, f"{prefix}:{{plan}}:keys") <= 30 * DAY


async def test_with_ttl_0_plans_never_expire(log: RedisLog, server: RedisServer, prefix: str) -> None:
    old = Producer("old")
    await old.batch("a").to(log)
    eternal = RedisLog(f"{server.url}?prefix={prefix}&ttl=0")
    await eternal.open()
    for producer in (old, Producer("new")):
        await producer.batch("b").to(eternal)
        await producer.batch("c").to(eternal)
        assert ttl_of(server, f"{prefix}:{{{producer.plan_id}}}:log") == -1
        assert ttl_of(server, f"{prefix}:{{{producer.plan_id}}}:meta") == -1
    await eternal.close()


async def test_a_plan_begun_without_a_status_gets_the_first_one_published(log: RedisLog) -> None:
    producer = Producer("plan")
    await producer.batch("a", facts=Facts()).to(log)
    await producer.batch("b", facts=Facts(first_status="in_progress")).to(log)
    assert [plan.status for plan in (await log.plans()).plans] == ["in_progress"]


@pytest.mark.parametrize("vanished", ["log", "meta"])
async def test_half_a_plan_is_no_plan(log: RedisLog, server: RedisServer, prefix: str, vanished: str) -> None:
    producer = Producer("plan")
    old = await producer.batch("a", "b", keys=["once", None]).to(log)
    server.call("DEL", f"{prefix}:{{plan}}:{vanished}")
    assert (await log.read("plan", 0)).head.offset == 0

    new = await producer.batch("c", keys=["once"]).to(log)
    head = await log.head("plan")
    assert list(new.offsets) == [1]
    assert head.position == Position(new.epoch, 1)
    assert not head.lineage.contains(old.epoch)
    assert (await log.read("plan", 0)).payloads[0].count(b'"c"') == 1


@pytest.mark.parametrize("repeated", [True, False])
async def test_half_a_plan_leaves_nothing_to_its_successor(
    log: RedisLog, server: RedisServer, prefix: str, repeated: bool
) -> None:
    producer, stem = Producer("plan"), f"{prefix}:{{plan}}:"
    told = Facts(first_status="in_progress", title="Old")
    first, second = producer.batch("a", facts=told), producer.batch("b")
    old = await first.to(log)
    assert await log.keep_checkpoint("plan", Checkpoint(Position(old.epoch, 1), b"{}"), 1)
    server.call("DEL", stem + "log")
    again = replace(first, facts=second.facts) if repeated else second
    assert list((await again.to(log)).offsets) == [1]
    assert server.call("EXISTS", stem + "checkpoint") == 0
    assert [plan.title for plan in (await log.plans()).plans] == [None]


async def test_a_lineage_keeps_its_last_sixteen_epochs(log: RedisLog, server: RedisServer, prefix: str) -> None:
    producer = Producer("plan")
    places: list[Position] = []
    for _ in range(20):
        appended = await producer.batch("x").to(log)
        places.append(Position(appended.epoch, appended.offsets[-1]))
        server.call("HSET", f"{prefix}:{{plan}}:meta", "identity", "another server")
    head = await log.head("plan")
    assert [old for old, _ in head.lineage.ended] == [place.epoch for place in places[3:19]]
    continuity = [head.lineage.continuity(place, head.offset, head.floor) for place in places]
    assert continuity == ["epoch"] * 3 + ["ok"] * 17


async def test_long_silent_producers_are_removed_from_plans_with_many(
    log: RedisLog, server: RedisServer, prefix: str
) -> None:
    meta = f"{prefix}:{{plan}}:meta"
    long_ago, lately = int(time.time()) - 1000, int(time.time()) - 100
    await Producer("plan").batch("x").to(log)
    for i in range(300):
        server.call("HSET", meta, f"p:silent-{i}", f"1 1 {long_ago} 1", f"p:recent-{i}", f"7 7 {lately} 1")
    for i in range(64):  # it is looked at now and then, not at each
        await Producer("plan", f"new-{i}").batch("x").to(log)
    names = server.call("HKEYS", meta)
    assert not [name for name in names if name.startswith("p:silent-")]
    assert len([name for name in names if name.startswith("p:recent-")]) == 300
    late = await log.append("plan", "recent-5", 7, [Entry(b"{}")], Facts())
    assert list(late.offsets) == [1]


async def test_watchers_receive_a_batch_as_one_message(log: RedisLog) -> None:
    heard = RecordingWatcher()
    await log.watch("plan", heard)
    batch = Producer("plan").batch(*(f"{i}" for i in range(100)))
    appended = await batch.to(log)
    await heard.until_offset(100)
    assert heard.calls == [(appended.epoch, 1, [entry.payload for entry in batch.entries])]


async def test_third_party_messages_on_the_channel_are_ignored(log: RedisLog, server: RedisServer, prefix: str) -> None:
    heard = RecordingWatcher()
    await log.watch("plan", heard)
    for message in ("hello", "", "a b c\nd", "epoch 1 2\nonly one", "\n\n"):
        assert server.call("SPUBLISH", f"{prefix}:{{plan}}:live", message) == 1
    await Producer("plan").batch("ours").to(log)
    await heard.until_offset(1)
    assert len(heard.calls) == 1
    assert heard.words == []
