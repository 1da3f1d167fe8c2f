"""The index, beyond the contract: stale entries are removed, and its failures affect no append."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from broadcasters.errors import InvalidEvent
from broadcasters.log.redis import RedisLog
from tests.contract.clients import Producer
from tests.servers import RedisServer


def members(server: RedisServer, key: str) -> list[str]:
    found: list[str] = server.call("ZRANGE", key, 0, -1)
    return sorted(found)


@asynccontextmanager
async def opened(log: RedisLog) -> AsyncIterator[RedisLog]:
    await log.open()
    try:
        yield log
    finally:
        await log.close()


async def listed(log: RedisLog, *, owner: str | None = None, label: str | None = None) -> list[str]:
    return [plan.plan_id for plan in (await log.plans(owner=owner, label=label)).plans]


async def test_owners_and_labels_may_have_any_name(log: RedisLog, server: RedisServer, prefix: str) -> None:
    await Producer("plan").update(owner="Ünal {a} b:c", labels=["50 %", "x}y{"]).to(log)
    assert await listed(log, owner="Ünal {a} b:c") == ["plan"]
    assert await listed(log, label="50 %") == ["plan"]
    assert await listed(log, label="x}y{") == ["plan"]
    assert not [key for key in server.call("KEYS", f"{prefix}:index:*") if "{" in key]


async def test_entries_whose_plan_is_gone_are_removed_by_a_list(
    log: RedisLog, server: RedisServer, prefix: str
) -> None:
    for i in range(5):
        await Producer(f"plan-{i}").update(owner="ada").to(log)
    server.call("DEL", *(f"{prefix}:{{plan-{i}}}:{part}" for i in (1, 3) for part in ("log", "meta")))
    assert sorted(await listed(log, owner="ada")) == ["plan-0", "plan-2", "plan-4"]
    assert members(server, f"{prefix}:index:owner:ada") == ["plan-0", "plan-2", "plan-4"]


async def test_a_plan_with_a_new_owner_is_listed_for_that_owner_only(
    log: RedisLog, server: RedisServer, prefix: str
) -> None:
    producer = Producer("plan")
    await producer.update(owner="ada", labels=["red", "round"]).to(log)
    await producer.update(owner="bob", labels=["round"]).to(log)
    assert await listed(log, owner="ada") == []
    assert await listed(log, owner="bob") == ["plan"]
    assert await listed(log, label="red") == []
    assert await listed(log, label="round") == ["plan"]
    assert members(server, f"{prefix}:index:owner:ada") == []


async def test_an_agent_with_a_fast_clock_removes_no_plans(
    log: RedisLog, server: RedisServer, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await Producer("plan-1").update(owner="ada").to(log)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 100 * 86_400)
    await Producer("plan-2").update(owner="ada").to(log)
    assert members(server, f"{prefix}:index:owner:ada") == ["plan-1", "plan-2"]


async def test_owner_and_label_together(log: RedisLog) -> None:
    for i in range(12):
        labels = ["red"] if i % 3 == 0 else ["blue"]
        await Producer(f"plan-{i}").update(owner="ada" if i % 2 else "bob", labels=labels).to(log)
    found: list[str] = []
    cursor = None
    while True:
        page = await log.plans(owner="ada", label="red", cursor=cursor, limit=1)
        found += [plan.plan_id for plan in page.plans]
        if (cursor := page.cursor) is None:
            break
    assert sorted(found) == ["plan-3", "plan-9"]


async def test_plans_of_one_millisecond_are_all_listed_once(log: RedisLog, server: RedisServer, prefix: str) -> None:
    names = [f"plan-{i:02}" for i in range(30)]
    for name in names:
        await Producer(name).batch("x").to(log)
    await log.plans()
    server.call("ZADD", f"{prefix}:index:all", *(word for name in names for word in (1_700_000_000_000, name)))
    found: list[str] = []
    cursor = None
    while True:
        page = await log.plans(cursor=cursor, limit=4)
        found += [plan.plan_id for plan in page.plans]
        if (cursor := page.cursor) is None:
            break
    assert found == sorted(names, reverse=True)


async def test_an_append_succeeds_although_the_index_can_not_be_written(
    log: RedisLog, server: RedisServer, prefix: str
) -> None:
    server.call("SET", f"{prefix}:index:all", "not an index")
    appended = await Producer("plan").batch("x").to(log)
    assert list(appended.offsets) == [1]
    assert (await log.head("plan")).offset == 1
    server.call("DEL", f"{prefix}:index:all")
    assert await listed(log) == ["plan"]


async def test_an_append_succeeds_although_the_index_raises(log: RedisLog, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fails(*_: object) -> None:
        raise ValueError("not a number")

    with monkeypatch.context() as broken:
        broken.setattr(log._index, "_put", fails)
        assert (await Producer("plan").update().to(log)).offsets[0] == 1
    assert await listed(log) == ["plan"]


async def test_an_append_does_not_wait_for_an_unavailable_index(log: RedisLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """A frozen master of the index cost each append to a plan that isn't in it six seconds."""
    asked, producer = 0, Producer("plan")

    async def hangs(*_: object) -> None:
        nonlocal asked
        asked += 1
        await asyncio.get_running_loop().create_future()

    with monkeypatch.context() as broken:
        broken.setattr(log._index, "_put", hangs)
        broken.setattr("broadcasters.log.redis.index.AT_ONCE_S", 0.01)
        broken.setattr(log._index, "_refresh", hangs)
        async with asyncio.timeout(30):
            for _ in range(20):
                await producer.update(owner="ada").to(log)
    assert asked < 10, "the first one noticed that it is away"
    assert await listed(log, owner="ada") == ["plan"]
    await Producer("another").update(owner="ada").to(log)
    assert "another" in log._index._indexed, "it is there again, and waited for"


async def test_a_failed_refresh_of_the_index_is_tried_again(
    server: RedisServer, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("broadcasters.log.redis.index.BEAT", 0.02)
    failed = asyncio.Event()

    async def fails(*_: object) -> None:
        failed.set()
        raise ValueError("not a number")

    async with opened(RedisLog(f"{server.url}?prefix={prefix}")) as log, asyncio.timeout(30):
        producer = Producer("plan")
        await producer.update().to(log)
        with monkeypatch.context() as broken:
            broken.setattr(log._index, "_scores", fails)
            await producer.update().to(log)
            await failed.wait()
            while not [name for name, part in log.parts.items() if part.down]:
                await asyncio.sleep(0.01)
        updated = server.call("HGET", f"{prefix}:{{plan}}:meta", "updated")
        while server.call("ZSCORE", f"{prefix}:index:all", "plan") != updated:
            await asyncio.sleep(0.01)


async def test_expired_plans_leave_the_index(log: RedisLog, server: RedisServer, prefix: str) -> None:
    long_ago = int((time.time() - 40 * 86_400) * 1000)
    server.call("ZADD", f"{prefix}:index:all", long_ago, "forgotten")
    await Producer("plan").batch("x").to(log)
    assert members(server, f"{prefix}:index:all") == ["plan"]
    assert 0 < server.call("TTL", f"{prefix}:index:all") <= 30 * 86_400


async def test_a_deleted_plan_leaves_the_index_at_once(log: RedisLog, server: RedisServer, prefix: str) -> None:
    await Producer("plan").update(owner="ada", labels=["red"]).to(log)
    assert await log.delete("plan")
    assert server.call("KEYS", f"{prefix}:*") == []
    await Producer("plan", "another").batch("begun again").to(log)
    assert await listed(log) == ["plan"]


@pytest.mark.parametrize("cursor", ["x", "1", "-5:plan", "999999999999999999999:plan"])
async def test_an_unknown_cursor(log: RedisLog, cursor: str) -> None:
    if cursor == "1":
        assert (await log.plans(cursor="1:")).plans == []
    else:
        with pytest.raises(InvalidEvent, match="cursor"):
            await log.plans(cursor=cursor)
