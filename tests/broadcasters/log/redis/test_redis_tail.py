"""The tail: one subscription a plan, however many watchers it has, and none without watchers."""

from __future__ import annotations

import asyncio

import pytest

from broadcasters.errors import LogUnavailable
from broadcasters.log.redis import RedisLog
from broadcasters.log.redis.tail import _Subscriptions
from broadcasters.log.redis.topology import SingleMaster
from tests.contract.clients import Producer, RecordingWatcher
from tests.servers import RedisServer


def subscribed(server: RedisServer, prefix: str) -> dict[str, int]:
    channels = server.call("PUBSUB", "SHARDCHANNELS", f"{prefix}:*")
    counts = server.call("PUBSUB", "SHARDNUMSUB", *channels)
    return dict(zip(counts[::2], counts[1::2], strict=True))


async def settled(log: RedisLog) -> None:
    """Wait until everything that the tail's links have sent was executed."""
    for link in log._tail._subscriptions.values():
        assert link._link is not None
        await link._link.call("PING")


async def test_watchers_of_a_plan_share_a_subscription(log: RedisLog, server: RedisServer, prefix: str) -> None:
    watches = await asyncio.gather(*(log.watch("plan", RecordingWatcher()) for _ in range(20)))
    assert subscribed(server, prefix) == {f"{prefix}:{{plan}}:live": 1}
    for watch in watches[1:]:
        await watch.close()
    await settled(log)
    assert subscribed(server, prefix) == {f"{prefix}:{{plan}}:live": 1}
    await watches[0].close()
    await watches[0].close()
    await settled(log)
    assert subscribed(server, prefix) == {}


async def test_thousands_of_plans_are_watched_over_one_connection(
    log: RedisLog, server: RedisServer, prefix: str
) -> None:
    before = int(server.info("stats")["total_connections_received"])
    heard = [RecordingWatcher() for _ in range(3000)]
    await asyncio.gather(*(log.watch(f"plan-{i}", watcher) for i, watcher in enumerate(heard)))
    assert int(server.info("stats")["total_connections_received"]) - before == 2  # the tail's, and this question's
    assert len(subscribed(server, prefix)) == 3000
    for i in (0, 1234, 2999):
        await Producer(f"plan-{i}").batch("x").to(log)
        await heard[i].until_offset(1)
    assert sum(len(watcher.calls) for watcher in heard) == 3


async def test_a_watch_cancelled_before_it_stands_leaves_no_subscription(
    log: RedisLog, server: RedisServer, prefix: str
) -> None:
    await log.watch("another", RecordingWatcher())
    tasks = [asyncio.create_task(log.watch("plan", RecordingWatcher())) for _ in range(3)]
    await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await settled(log)
    await Producer("plan").batch("x").to(log)
    await settled(log)
    assert subscribed(server, prefix) == {f"{prefix}:{{another}}:live": 1}


async def test_closed_and_watched_again_at_once(log: RedisLog) -> None:
    for round_ in range(1, 20):
        heard = RecordingWatcher()
        watch = await log.watch("plan", heard)
        await Producer("plan", f"producer-{round_}").batch("x").to(log)
        await heard.until_offset(round_)
        await watch.close()


async def test_a_watcher_that_raises_does_not_disturb_the_others(
    log: RedisLog, caplog: pytest.LogCaptureFixture
) -> None:
    class Clumsy(RecordingWatcher):
        def arrived(self, *_: object) -> None:
            raise RuntimeError("clumsy")

    heard = RecordingWatcher()
    await log.watch("plan", Clumsy())
    await log.watch("plan", heard)
    await Producer("plan").batch("x").to(log)
    await heard.until_offset(1)
    assert "a watcher of plan raised" in caplog.text


async def test_closing_the_log_fails_waiting_callers(server: RedisServer, prefix: str) -> None:
    log = RedisLog(f"{server.url}?prefix={prefix}")
    await log.open()
    waiting = asyncio.create_task(log.watch("plan", RecordingWatcher()))
    await asyncio.sleep(0)
    await log.close()
    with pytest.raises(LogUnavailable, match="closed"):
        await waiting


async def test_a_watch_whose_master_is_not_found_fails_and_the_next_one_succeeds(
    log: RedisLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(_: str) -> None:
        raise ValueError("not a number")

    with monkeypatch.context() as broken:
        broken.setattr(log._masters, "locate", fails)
        async with asyncio.timeout(30):
            with pytest.raises(LogUnavailable, match="not a number"):
                await log.watch("plan", RecordingWatcher())
    async with asyncio.timeout(30):
        await log.watch("plan", RecordingWatcher())


async def test_an_unexpected_error_fails_a_watch_and_the_next_one_succeeds(
    log: RedisLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(*_: object) -> None:
        raise ValueError("not a number")

    with monkeypatch.context() as broken:
        broken.setattr(_Subscriptions, "_opened", fails)
        async with asyncio.timeout(30):
            with pytest.raises(LogUnavailable, match="not a number"):
                await log.watch("plan", RecordingWatcher())
    async with asyncio.timeout(30):
        await log.watch("plan", RecordingWatcher())


async def test_following_moves_goes_on_after_an_unexpected_error(
    server: RedisServer, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("broadcasters.log.redis.log.BEAT", 0.02)
    monkeypatch.setattr(SingleMaster, "fixed", False)
    looks = 0

    async def look() -> None:
        nonlocal looks
        looks += 1
        if looks < 3:
            raise ValueError("not a number")

    log = RedisLog(f"{server.url}?prefix={prefix}")
    monkeypatch.setattr(log._tail, "follow_moves", look)
    await log.open()
    try:
        async with asyncio.timeout(30):
            while looks < 5:
                await asyncio.sleep(0.01)
    finally:
        await log.close()
