"""`follow` yields the events of one plan without gap or duplicate, whatever the tail does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Literal

import pytest
import pytest_asyncio

from broadcasters.errors import LogMisconfigured, LogUnavailable
from broadcasters.log import follow as followed
from broadcasters.log.contract import Checkpoint, Head, Page, PlanLog, Watch, Watcher
from broadcasters.log.follow import Broken, Followed, Interrupted, Received, Resumed, follow
from broadcasters.log.sqlite.log import SqliteLog
from broadcasters.position import Position
from tests.contract.clients import Producer, texts_of

DEADLINE_S = 20.0
SOON_S = 0.05
"""The interval of head checks in tests that wait for one."""


class FaultyLog(SqliteLog):
    """The embedded log with faults of ours: its tail can withhold events, and reads can fail."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.withheld: set[str] = set()
        self.refuse: Exception | None = None
        self.reads = 0
        self.asked_heads: list[list[str]] = []
        """The plans of each call of `heads`."""
        self.watchers: list[Watcher] = []
        self.watches = 0
        self._asked = asyncio.Event()

    async def watch(self, plan_id: str, watcher: Watcher) -> Watch:
        self.watchers.append(watcher)
        self.watches += 1
        return _Counted(self, await super().watch(plan_id, _Through(self, watcher)))

    async def until_read(self, times: int = 1) -> None:
        await self.until(lambda: self.reads >= times)

    async def until_compared(self, times: int) -> None:
        await self.until(lambda: len(self.asked_heads) >= times)

    async def until(self, asked: Callable[[], bool]) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while not asked():
                self._asked.clear()
                await self._asked.wait()

    async def read(self, plan_id: str, after: int, limit: int = 500, max_bytes: int = 1024 * 1024) -> Page:
        self.reads += 1
        self._asked.set()
        if self.refuse:
            raise self.refuse
        return await super().read(plan_id, after, limit, max_bytes)

    async def heads(self, plan_ids: Collection[str]) -> Mapping[str, Head]:
        self.asked_heads.append(list(plan_ids))
        self._asked.set()
        if self.refuse:
            raise self.refuse
        return await super().heads(plan_ids)


class _Counted(Watch):
    def __init__(self, log: FaultyLog, watch: Watch) -> None:
        self._log = log
        self._watch = watch

    async def close(self) -> None:
        await self._watch.close()
        self._log.watches -= 1


class _Through:
    """A watcher that receives only the events that are not withheld."""

    def __init__(self, log: FaultyLog, watcher: Watcher) -> None:
        self._log = log
        self._watcher = watcher

    def arrived(self, epoch: str, first: int, payloads: Sequence[bytes]) -> None:
        for offset, payload in enumerate(payloads, first):
            if not self._log.withheld.intersection(texts_of([payload])):
                self._watcher.arrived(epoch, offset, [payload])

    def lost(self) -> None:
        self._watcher.lost()

    def resumed(self) -> None:
        self._watcher.resumed()

    def deleted(self) -> None:
        self._watcher.deleted()


@pytest_asyncio.fixture
async def plans(tmp_path: Path) -> AsyncIterator[FaultyLog]:
    log = FaultyLog(f"sqlite:///{tmp_path / 'plans.db'}")
    await log.open()
    yield log
    await log.close()


class Following:
    """A follower in a task of its own, and the items it received."""

    def __init__(
        self,
        log: PlanLog,
        after: Position | Literal["start", "now"] = "start",
        beat_s: float = 1000.0,
        plan_id: str = "plan-1",
    ) -> None:
        self.items: list[Followed] = []
        self.go = asyncio.Event()
        self.go.set()
        self._more = asyncio.Event()
        self._log, self._after, self._beat_s, self._plan_id = log, after, beat_s, plan_id

    async def __aenter__(self) -> Following:
        self.task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self.task.cancel()
        await asyncio.wait([self.task])

    async def _run(self) -> None:
        try:
            async with aclosing(follow(self._log, self._plan_id, self._after, beat_s=self._beat_s)) as items:
                async for item in items:
                    self.items.append(item)
                    self._more.set()
                    await self.go.wait()
        finally:
            self._more.set()

    @property
    def texts(self) -> list[str]:
        return texts_of([item.payload for item in self.items if isinstance(item, Received)])

    @property
    def offsets(self) -> list[int]:
        return [item.position.offset for item in self.items if isinstance(item, Received)]

    def of(self, kind: type[Followed]) -> list[Followed]:
        return [item for item in self.items if isinstance(item, kind)]

    async def until(self, done: Callable[[], bool]) -> None:
        try:
            async with asyncio.timeout(DEADLINE_S):
                while not done():
                    self._more.clear()
                    if self.task.done():
                        await self.task
                    await self._more.wait()
        except TimeoutError:
            raise AssertionError(f"only received {self.items}") from None

    async def until_text(self, text: str) -> None:
        await self.until(lambda: text in self.texts)


async def test_it_yields_what_is_retained_and_then_what_is_appended(plans: FaultyLog) -> None:
    producer = Producer("plan-1")
    await producer.batch("a", "b").to(plans)
    async with Following(plans) as following:
        await following.until_text("b")
        last = await producer.batch("c", "d").to(plans)
        await following.until_text("d")
    assert following.texts == ["a", "b", "c", "d"]
    assert following.offsets == [1, 2, 3, 4]
    assert {type(item) for item in following.items} == {Received}
    assert following.items[-1] == Received(Position(last.epoch, 4), following.of(Received)[-1].payload)  # type: ignore[union-attr]


async def test_from_now_it_yields_only_later_events(plans: FaultyLog) -> None:
    producer = Producer("plan-1")
    await producer.batch("old").to(plans)
    async with Following(plans, "now") as following:
        await plans.until_read()
        await producer.batch("new").to(plans)
        await following.until_text("new")
    assert following.texts == ["new"]


async def test_from_a_position_it_yields_what_follows(plans: FaultyLog) -> None:
    appended = await Producer("plan-1").batch(*"abcde").to(plans)
    async with Following(plans, Position(appended.epoch, 3)) as following:
        await following.until_text("e")
    assert following.texts == ["d", "e"]


async def test_it_waits_for_a_plan_without_events(plans: FaultyLog) -> None:
    async with Following(plans) as following:
        await plans.until_read()
        await Producer("plan-1").batch("a").to(plans)
        await following.until_text("a")
    assert following.items == following.of(Received)


async def test_it_reads_a_long_plan_page_by_page(plans: FaultyLog) -> None:
    producer = Producer("plan-1")
    texts = [str(i) for i in range(1200)]
    for start in range(0, 1200, 200):
        await producer.batch(*texts[start : start + 200]).to(plans)
    async with Following(plans) as following:
        await following.until_text("1199")
    assert following.texts == texts
    assert plans.reads >= 3


async def test_at_the_head_it_uses_the_tail_and_reads_nothing(plans: FaultyLog) -> None:
    producer = Producer("plan-1")
    await producer.batch("0").to(plans)
    async with Following(plans) as following:
        await following.until_text("0")
        before = plans.reads
        for i in range(1, 50):
            await producer.batch(f"{i}").to(plans)
        await following.until_text("49")
    assert following.texts == [str(i) for i in range(50)]
    assert plans.reads == before


async def test_a_lost_message_is_found_by_the_head_check(plans: FaultyLog) -> None:
    producer = Producer("plan-1")
    await producer.batch("a").to(plans)
    async with Following(plans, beat_s=SOON_S) as following:
        await following.until_text("a")
        plans.withheld = {"lost"}
        await producer.batch("lost").to(plans)
        await following.until_text("lost")
    assert following.texts == ["a", "lost"]


async def test_a_gap_is_read_from_the_log_when_the_next_message_shows_it(plans: FaultyLog) -> None:
    producer = Producer("plan-1")
    await producer.batch("a").to(plans)
    async with Following(plans) as following:
        await following.until_text("a")
        plans.withheld = {"lost"}
        await producer.batch("lost").to(plans)
        await producer.batch("shows it").to(plans)
        await following.until_text("shows it")
    assert following.texts == ["a", "lost", "shows it"]


async def test_an_event_of_another_epoch_is_looked_up_in_the_log(plans: FaultyLog) -> None:
    producer = Producer("plan-1")
    await producer.batch("a").to(plans)
    async with Following(plans) as following:
        await following.until_text("a")
        plans.watchers[0].arrived("ffffffff", 2, [b"of an epoch that is over"])
        await plans.until_read(2)
        await producer.batch("b").to(plans)
        await following.until_text("b")
    assert following.texts == ["a", "b"]


async def test_an_event_that_arrives_twice_is_yielded_once(plans: FaultyLog) -> None:
    producer = Producer("plan-1")
    async with Following(plans) as following:
        for i in range(5):
            await producer.batch(f"{i}", f"{i}+").to(plans)
            await following.until_text(f"{i}+")
            page = await plans.read("plan-1", 0)
            plans.watchers[0].arrived(page.head.lineage.epoch, page.first, page.payloads)
        await producer.batch("last").to(plans)
        await following.until_text("last")
    assert following.offsets == list(range(1, 12))


async def test_a_slow_consumer_costs_bounded_memory_and_loses_nothing(
    plans: FaultyLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(followed, "BUFFERED_BYTES", 2000)
    producer = Producer("plan-1")
    async with Following(plans) as following:
        await producer.batch("0").to(plans)
        await following.until_text("0")
        following.go.clear()
        await producer.batch("1").to(plans)
        await following.until_text("1")
        before = plans.reads
        for i in range(2, 100):
            await producer.batch(f"{i}").to(plans)
        following.go.set()
        await following.until_text("99")
    assert following.texts == [str(i) for i in range(100)]
    assert plans.reads > before  # the buffered events were dropped


async def test_it_reports_when_the_tail_is_lost_and_when_it_is_back(plans: FaultyLog) -> None:
    producer = Producer("plan-1")
    await producer.batch("a").to(plans)
    async with Following(plans) as following:
        await following.until_text("a")
        plans.watchers[0].lost()
        await following.until(lambda: bool(following.of(Interrupted)))
        plans.withheld = {"missed"}
        await producer.batch("missed").to(plans)
        plans.watchers[0].resumed()
        await following.until_text("missed")
    assert [type(item) for item in following.items] == [Received, Interrupted, Resumed, Received]


async def test_a_short_interruption_is_reported_too(plans: FaultyLog) -> None:
    await Producer("plan-1").batch("a").to(plans)
    async with Following(plans) as following:
        await following.until_text("a")
        plans.watchers[0].lost()
        plans.watchers[0].resumed()
        await following.until(lambda: bool(following.of(Resumed)))
    assert [type(item) for item in following.items] == [Received, Interrupted, Resumed]


async def test_a_log_that_can_not_be_read_is_read_again(plans: FaultyLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(followed, "LONGEST_PAUSE_S", 0.01)
    producer = Producer("plan-1")
    await producer.batch("a").to(plans)
    async with Following(plans) as following:
        await following.until_text("a")
        plans.refuse = LogUnavailable("out of reach")
        plans.withheld = {"b"}
        await producer.batch("b").to(plans)
        plans.watchers[0].resumed()
        await following.until(lambda: bool(following.of(Interrupted)))
        await plans.until_read(plans.reads + 3)
        plans.refuse = None
        await following.until_text("b")
    assert [type(item) for item in following.items] == [Received, Interrupted, Resumed, Received]


async def test_a_log_out_of_reach_at_the_beginning_raises(plans: FaultyLog) -> None:
    plans.refuse = LogUnavailable("out of reach")
    with pytest.raises(LogUnavailable):
        await anext(follow(plans, "plan-1"))


async def test_what_only_the_operator_can_change_raises(plans: FaultyLog) -> None:
    await Producer("plan-1").batch("a").to(plans)
    async with Following(plans, beat_s=SOON_S) as following:
        await following.until_text("a")
        plans.refuse = LogMisconfigured("no right to read")
        with pytest.raises(LogMisconfigured):
            await following.until_text("never")


# --- many followers


@asynccontextmanager
async def fifty(plans: FaultyLog, beat_s: float) -> AsyncGenerator[list[Following]]:
    """Followers of fifty plans; each has received the one event there is, and waits."""
    names = [f"plan-{number}" for number in range(50)]
    async with AsyncExitStack() as stack:
        waiting: list[Following] = []
        for name in names:
            await Producer(name).batch("a").to(plans)
            waiting.append(await stack.enter_async_context(Following(plans, beat_s=beat_s, plan_id=name)))
        for one in waiting:
            await one.until_text("a")
        yield waiting


async def test_fifty_idle_followers_cost_one_call_an_interval(plans: FaultyLog) -> None:
    async with fifty(plans, SOON_S):
        reads, calls = plans.reads, len(plans.asked_heads)
        await plans.until_compared(calls + 10)
        assert plans.reads == reads
        assert all(len(asked) == 50 for asked in plans.asked_heads[calls:])


async def test_of_fifty_idle_followers_the_one_that_missed_an_event_gets_it(plans: FaultyLog) -> None:
    async with fifty(plans, SOON_S) as waiting:
        reads = plans.reads
        plans.withheld = {"lost"}
        await Producer("plan-7", "another").batch("lost").to(plans)
        await waiting[7].until_text("lost")
        assert plans.reads == reads + 1


async def test_after_the_tail_was_lost_fifty_are_checked_in_one_call(plans: FaultyLog) -> None:
    async with fifty(plans, 1000.0) as waiting:
        reads, calls = plans.reads, len(plans.asked_heads)
        plans.withheld = {"lost"}
        for watcher in plans.watchers:
            watcher.lost()
        await Producer("plan-7", "another").batch("lost").to(plans)
        for watcher in plans.watchers:
            watcher.resumed()
        await waiting[7].until_text("lost")
        await asyncio.gather(*(one.until(partial(_received, one, Resumed)) for one in waiting))
        assert [len(asked) for asked in plans.asked_heads[calls:]] == [50]
        assert plans.reads == reads + 1


async def test_fifty_idle_followers_get_interrupted_and_resumed_when_the_log_is_away_and_back(plans: FaultyLog) -> None:
    async with fifty(plans, SOON_S) as waiting:
        plans.refuse = LogUnavailable("out of reach")
        plans.withheld = {"lost"}
        await asyncio.gather(*(one.until(partial(_received, one, Interrupted)) for one in waiting))
        await Producer("plan-7", "another").batch("lost").to(plans)
        plans.refuse = None
        await asyncio.gather(*(one.until(partial(_received, one, Resumed)) for one in waiting))
        await waiting[7].until_text("lost")
        reads, calls = plans.reads, len(plans.asked_heads)
        await plans.until_compared(calls + 3)
        assert plans.reads == reads


def _received(one: Following, kind: type[Followed]) -> bool:
    return bool(one.of(kind))


async def test_a_head_check_that_fails_costs_no_follower_an_event(
    plans: FaultyLog, caplog: pytest.LogCaptureFixture
) -> None:
    producer = Producer("plan-1")
    await producer.batch("a").to(plans)
    async with Following(plans, beat_s=SOON_S) as following:
        await following.until_text("a")
        heads = plans.heads
        plans.heads = _broken  # type: ignore[method-assign]
        plans.withheld = {"b", "c"}
        await producer.batch("b").to(plans)
        await following.until_text("b")
        plans.heads = heads  # type: ignore[method-assign]
        await producer.batch("c").to(plans)
        await following.until_text("c")
    assert following.texts == ["a", "b", "c"]
    assert "a mistake in the log" in caplog.text


async def _broken(plan_ids: Collection[str]) -> Mapping[str, Head]:
    raise ValueError("a mistake in the log")


async def test_without_followers_no_head_is_read_and_no_task_is_left(plans: FaultyLog) -> None:
    before = asyncio.all_tasks()
    for _ in range(2):
        async with Following(plans, beat_s=SOON_S), Following(plans, beat_s=SOON_S):
            await plans.until_compared(len(plans.asked_heads) + 4)
        assert asyncio.all_tasks() == before
    assert all(asked == ["plan-1"] for asked in plans.asked_heads)


async def test_a_busy_plan_is_not_read_for_events_in_flight(plans: FaultyLog) -> None:
    producer = Producer("plan-1")
    async with Following(plans, beat_s=0.001) as following:
        await plans.until_read()
        for i in range(100):
            await producer.batch(f"{i}").to(plans)
        await following.until_text("99")
    assert following.texts == [str(i) for i in range(100)]
    assert plans.reads <= 3


# --- continuity


async def test_a_trimmed_position_is_broken_and_goes_on_from_the_checkpoint(plans: FaultyLog) -> None:
    appended = await Producer("plan-1").batch(*"abcdef").to(plans)
    checkpoint = Checkpoint(Position(appended.epoch, 4), b"a to d folded")
    assert await plans.keep_checkpoint("plan-1", checkpoint, 0)
    async with Following(plans, Position(appended.epoch, 2)) as following:
        await following.until_text("f")
    broken = following.items[0]
    assert isinstance(broken, Broken)
    assert (broken.reason, broken.checkpoint, broken.head.offset) == ("trimmed", checkpoint, 6)
    assert following.texts == ["e", "f"]


async def test_from_the_start_of_a_trimmed_plan_it_yields_what_is_retained(plans: FaultyLog) -> None:
    appended = await Producer("plan-1").batch(*"abcdef").to(plans)
    await plans.keep_checkpoint("plan-1", Checkpoint(Position(appended.epoch, 4), b"{}"), 1)
    async with Following(plans, "start") as following:
        await following.until_text("f")
    assert following.texts == ["d", "e", "f"]
    assert following.items == following.of(Received)


@pytest.mark.parametrize(("offset", "epoch", "reason"), [(7, None, "ahead"), (3, "ffffffff", "epoch")])
async def test_a_position_that_is_not_in_the_log_is_broken(
    plans: FaultyLog, offset: int, epoch: str | None, reason: str
) -> None:
    appended = await Producer("plan-1").batch(*"abcdef").to(plans)
    async with Following(plans, Position(epoch or appended.epoch, offset)) as following:
        await following.until_text("f")
    broken = following.items[0]
    assert isinstance(broken, Broken)
    assert (broken.reason, broken.checkpoint) == (reason, None)
    assert following.texts == list("abcdef")


async def test_a_plan_deleted_and_begun_again_is_broken_and_yielded_from_its_start(plans: FaultyLog) -> None:
    await Producer("plan-1").batch("a", "b").to(plans)
    async with Following(plans) as following:
        await following.until_text("b")
        await plans.delete("plan-1")
        await following.until(lambda: bool(following.of(Broken)))
        begun = await Producer("plan-1", "another").batch("new").to(plans)
        await following.until_text("new")
    broken = following.of(Broken)
    assert broken == [Broken("epoch", Head(), None)]
    assert following.items[-1].position == Position(begun.epoch, 1)  # type: ignore[union-attr]


async def test_closing_it_ends_its_watch(plans: FaultyLog) -> None:
    async with Following(plans) as following:
        await Producer("plan-1").batch("a").to(plans)
        await following.until_text("a")
        assert plans.watches == 1
    assert plans.watches == 0
