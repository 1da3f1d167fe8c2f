"""L6, and the last step of L2: every log calls its watchers."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from contextlib import aclosing

import pytest

from broadcasters.log.contract import Head, Page, PlanLog
from broadcasters.log.follow import Received, follow
from broadcasters.position import Position
from tests.contract.clients import Producer, RecordingWatcher, checkpoint_at, texts_of
from tests.contract.conftest import OpenLog


async def test_l6_a_watcher_receives_every_later_append_in_order(log: PlanLog) -> None:
    producer = Producer("plan-1")
    await producer.batch("before").to(log)
    received = RecordingWatcher()
    await log.watch("plan-1", received)
    epoch = ""
    for i in range(30):
        epoch = (await producer.batch(f"{i}", f"{i}+").to(log)).epoch
    await received.until_offset(61)
    assert [offset for offset in received.offsets if offset > 1] == list(range(2, 62))
    assert received.story[-60:] == [text for i in range(30) for text in (f"{i}", f"{i}+")]
    assert {call[0] for call in received.calls} == {epoch}


async def test_l6_a_plan_can_be_watched_before_its_first_event(log: PlanLog) -> None:
    received = RecordingWatcher()
    await log.watch("plan-1", received)
    appended = await Producer("plan-1").batch("a").to(log)
    await received.until_offset(1)
    assert received.calls[0][0] == appended.epoch
    assert received.story == ["a"]


async def test_l6_appends_of_another_program_arrive_too(open_log: OpenLog) -> None:
    mine, theirs = await open_log(), await open_log()
    received = RecordingWatcher()
    await mine.watch("plan-1", received)
    producers = [Producer("plan-1", "x"), Producer("plan-1", "y")]
    for _ in range(10):
        for log, producer in zip((mine, theirs), producers, strict=True):
            await producer.batch(f"{producer.name}{producer.seq}").to(log)
    await received.until_offset(20)
    assert received.offsets == list(range(1, 21))
    assert received.story == [f"{name}{i}" for i in range(1, 11) for name in "xy"]


async def test_l6_a_watcher_receives_its_plan_and_no_other(log: PlanLog) -> None:
    received = {plan_id: RecordingWatcher() for plan_id in ("plan-1", "plan-2", "plan-3")}
    for plan_id, watcher in received.items():
        await log.watch(plan_id, watcher)
    for plan_id in ("plan-1", "elsewhere", "plan-2"):
        await Producer(plan_id).batch(f"of {plan_id}").to(log)
    await received["plan-1"].until_offset(1)
    await received["plan-2"].until_offset(1)
    assert received["plan-1"].story == ["of plan-1"]
    assert received["plan-2"].story == ["of plan-2"]
    assert received["plan-3"].calls == []


async def test_l6_many_watch_one_plan(log: PlanLog) -> None:
    producer = Producer("plan-1")
    early = [RecordingWatcher() for _ in range(3)]
    for watcher in early:
        await log.watch("plan-1", watcher)
    await producer.batch("a").to(log)
    late = RecordingWatcher()
    await log.watch("plan-1", late)
    await producer.batch("b").to(log)
    for watcher in (*early, late):
        await watcher.until_offset(2)
    assert [watcher.story for watcher in early] == [["a", "b"]] * 3
    assert late.story[-1] == "b"


async def test_l6_a_closed_watch_receives_nothing_more_and_the_others_do(log: PlanLog) -> None:
    producer = Producer("plan-1")
    gone, stays = RecordingWatcher(), RecordingWatcher()
    watch = await log.watch("plan-1", gone)
    await log.watch("plan-1", stays)
    await producer.batch("a").to(log)
    await gone.until_offset(1)
    await watch.close()
    await watch.close()
    calls = len(gone.calls)
    await producer.batch("b").to(log)
    await stays.until_offset(2)
    assert len(gone.calls) == calls


async def test_l6_a_plan_can_be_watched_again(log: PlanLog) -> None:
    producer = Producer("plan-1")
    for i in range(1, 6):
        received = RecordingWatcher()
        watch = await log.watch("plan-1", received)
        await producer.batch(f"{i}").to(log)
        await received.until_offset(i)
        await watch.close()
    assert (await log.head("plan-1")).offset == 5


async def test_l6_one_watcher_on_two_plans_receives_both(log: PlanLog) -> None:
    received = RecordingWatcher()
    first = await log.watch("plan-1", received)
    await log.watch("plan-2", received)
    await first.close()
    await Producer("plan-1").batch("not received").to(log)
    await Producer("plan-2").batch("received").to(log)
    await received.until_offset(1)
    assert received.story == ["received"]


async def test_l6_a_repeated_append_delivers_nothing_new(log: PlanLog) -> None:
    producer = Producer("plan-1")
    received = RecordingWatcher()
    await log.watch("plan-1", received)
    batch = producer.batch("a", keys=["key"])
    await batch.to(log)
    await batch.to(log)
    await Producer("plan-1", "another").batch("a again", "b", keys=["key", None]).to(log)
    await received.until_offset(2)
    assert received.story == ["a", "b"]
    assert max(received.offsets) == 2


async def test_l6_a_large_append_arrives_whole(log: PlanLog) -> None:
    received = RecordingWatcher()
    await log.watch("plan-1", received)
    texts = [f"{i} " + "x" * 4000 for i in range(200)]
    await Producer("plan-1").batch(*texts).to(log)
    await received.until_offset(200)
    assert received.story == texts


async def test_l6_many_large_appends_at_once_arrive_whole(log: PlanLog) -> None:
    received = RecordingWatcher()
    await log.watch("plan-1", received)
    producers = [Producer("plan-1", f"producer-{i}") for i in range(8)]
    batches = [producer.batch(*[f"{producer.name}/{i} " + "x" * 2000 for i in range(100)]) for producer in producers]
    await asyncio.gather(*[batch.to(log) for batch in batches])
    await received.until_offset(800)
    assert received.offsets == list(range(1, 801))


async def test_l6_who_begins_to_watch_takes_nothing_from_the_others(open_log: OpenLog) -> None:
    mine, theirs = await open_log(), await open_log()
    received = RecordingWatcher()
    await mine.watch("plan-1", received)
    producer = Producer("plan-1")
    for i in range(10):
        await producer.batch(f"{i}").to(theirs)
        await mine.watch(f"another-{i}", RecordingWatcher())
        await mine.watch("plan-1", RecordingWatcher())
    await received.until_offset(10)
    assert received.offsets == list(range(1, 11))


async def test_l6_watchers_are_called_when_their_plan_is_deleted(open_log: OpenLog) -> None:
    mine, theirs = await open_log(), await open_log()
    received = [RecordingWatcher(), RecordingWatcher()]
    for log, watcher in zip((mine, theirs), received, strict=True):
        await log.watch("plan-1", watcher)
    await Producer("plan-1").batch("a", "b").to(mine)
    for watcher in received:
        await watcher.until_offset(2)
    assert await mine.delete("plan-1") is True
    for watcher in received:
        await watcher.until_word("deleted")
    again = await Producer("plan-1", "another").batch("begun again").to(mine)
    for watcher in received:
        await watcher.until(lambda received: received.calls[-1][0] == again.epoch)
        epoch, first, payloads = watcher.calls[-1]
        assert (epoch, first, texts_of(payloads)) == (again.epoch, 1, ["begun again"])


async def test_l6_watchers_of_other_plans_are_not_called_for_a_deletion(log: PlanLog) -> None:
    received = {plan_id: RecordingWatcher() for plan_id in ("plan-1", "plan-2")}
    for plan_id, watcher in received.items():
        await log.watch(plan_id, watcher)
        await Producer(plan_id).batch("a").to(log)
    await log.delete("plan-1")
    await received["plan-1"].until_word("deleted")
    await Producer("plan-2", "another").batch("b").to(log)
    await received["plan-2"].until_offset(2)
    assert received["plan-2"].words == []


async def test_l6_a_watcher_stays_after_checkpoints_and_trimming(log: PlanLog) -> None:
    producer = Producer("plan-1")
    received = RecordingWatcher()
    await log.watch("plan-1", received)
    appended = await producer.batch("a", "b", "c").to(log)
    await log.keep_checkpoint("plan-1", checkpoint_at("plan-1", Position(appended.epoch, 3)), 0)
    await producer.batch("d").to(log)
    await received.until_offset(4)
    assert received.story[-1] == "d"


async def test_l6_closing_the_log_ends_its_watches_without_a_call(open_log: OpenLog) -> None:
    mine, theirs = await open_log(), await open_log()
    ended, other = RecordingWatcher(), RecordingWatcher()
    watch = await mine.watch("plan-1", ended)
    await theirs.watch("plan-1", other)
    await mine.close()
    await Producer("plan-1").batch("a").to(theirs)
    await other.until_offset(1)
    assert (ended.calls, ended.words) == ([], [])
    await watch.close()


async def test_l6_what_is_watched_joins_what_is_read_without_a_hole(open_log: OpenLog) -> None:
    mine, theirs = await open_log(), await open_log()
    producer = Producer("plan-1")

    async def say() -> None:
        for i in range(100):
            await producer.batch(f"{i}").to(theirs)

    saying = asyncio.create_task(say())
    watchers: list[tuple[int, RecordingWatcher]] = []
    while not saying.done():
        received = RecordingWatcher()
        await mine.watch("plan-1", received)
        watchers.append(((await mine.head("plan-1")).offset, received))
    await saying
    for head, received in watchers:
        if head < 100:
            await received.until_offset(100)
        assert set(range(head + 1, 101)) <= set(received.offsets)
    assert watchers[0][0] < 100


async def test_l10_fifty_followers_that_wait_cost_one_call_a_beat(
    log: PlanLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And each of them receives later appends to its own plan only."""
    plan_ids = [f"plan-{number}" for number in range(50)]
    asked: list[str] = []
    calls = asyncio.Queue[int]()
    heads, read = log.heads, log.read

    async def counted_heads(plan_ids: Collection[str]) -> Mapping[str, Head]:
        calls.put_nowait(len(plan_ids))
        return await heads(plan_ids)

    async def counted_read(plan_id: str, after: int, limit: int = 500, max_bytes: int = 1024 * 1024) -> Page:
        asked.append(plan_id)
        return await read(plan_id, after, limit, max_bytes)

    async def follow_one(plan_id: str) -> str:
        async with aclosing(follow(log, plan_id, Position("", 0), beat_s=0.05)) as story:
            async for item in story:
                if isinstance(item, Received):
                    return texts_of([item.payload])[0]
        raise AssertionError("the story ended")

    monkeypatch.setattr(log, "heads", counted_heads)
    monkeypatch.setattr(log, "read", counted_read)
    following = [asyncio.create_task(follow_one(plan_id)) for plan_id in plan_ids]
    async with asyncio.timeout(60):
        while await calls.get() < 50:
            pass
        assert sorted(asked) == sorted(plan_ids)
        assert [await calls.get() for _ in range(5)] == [50] * 5
        assert len(asked) == 50
        for plan_id in plan_ids:
            await Producer(plan_id).batch(f"to {plan_id}").to(log)
        assert await asyncio.gather(*following) == [f"to {plan_id}" for plan_id in plan_ids]
