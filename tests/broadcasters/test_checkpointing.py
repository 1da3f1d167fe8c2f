"""Snapshots of a real log that grows, is trimmed, deleted and begun again; and checkpoints that can't be read."""

from __future__ import annotations

import asyncio
import tempfile
from abc import ABC
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path

import pytest
import pytest_asyncio
from hypothesis import given, settings
from hypothesis import strategies as st

from broadcasters import checkpointing
from broadcasters.checkpointing import snapshot_at, snapshot_of, take_checkpoint
from broadcasters.errors import LogUnavailable, SnapshotUnreadable
from broadcasters.events import AgentMessage, PlanEvent, PlanUpdate, StepUpdate, build, parse
from broadcasters.fold import fold
from broadcasters.log.contract import Checkpoint, Entry, Facts, Head, Page, PlanLog, facts_of
from broadcasters.log.redis.log import RedisLog
from broadcasters.log.sqlite.log import SqliteLog
from broadcasters.position import Position
from broadcasters.snapshot import Snapshot, empty, encode
from tests.broadcasters.strategies import PLAN_ID, events
from tests.servers import RedisServer

EVERYTHING = 1_000_000
"""A window that trims nothing."""


class Meddling(PlanLog, ABC):
    """A real log; each read first runs the next of `meddling`, as if another program did."""

    meddling: list[Callable[[], Awaitable[object]]]
    reads: int

    async def read(self, plan_id: str, after: int, limit: int = 500, max_bytes: int = 1024 * 1024) -> Page:
        self.reads += 1
        if self.meddling:
            await self.meddling.pop(0)()
        return await super().read(plan_id, after, limit, max_bytes)  # type: ignore[safe-super]


class Meddled(Meddling, SqliteLog):
    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.meddling, self.reads = [], 0


class MeddledRedis(Meddling, RedisLog):
    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.meddling, self.reads = [], 0


async def nothing() -> None:
    """Leave this read alone."""


@pytest_asyncio.fixture
async def plans(tmp_path: Path) -> AsyncIterator[Meddled]:
    log = Meddled(f"sqlite:///{tmp_path / 'plans.db'}")
    await log.open()
    yield log
    await log.close()


def words(count: int, of: str = "word") -> list[PlanEvent]:
    """A plan with a long streamed message."""
    said: list[PlanEvent] = [build(PlanUpdate, {"plan_id": PLAN_ID, "title": "Long"})]
    fields = {"plan_id": PLAN_ID, "agent_name": "A", "message_id": "m", "append": True}
    said += [build(AgentMessage, {**fields, "content": f"{of} {number}, "}) for number in range(count - 2)]
    return [*said, build(StepUpdate, {"plan_id": PLAN_ID, "step_id": "s", "status": "in_progress"})]


async def tell(log: PlanLog, said: Sequence[PlanEvent], producer: str = "tester") -> None:
    head = await log.head(PLAN_ID)
    for start in range(0, len(said), 200):
        part = said[start : start + 200]
        entries = [Entry(event.payload(f"{producer}-{head.offset + start + n}")) for n, event in enumerate(part)]
        await log.append(PLAN_ID, producer, head.offset + start + 1, entries, facts_of(part))


async def tell_raw(log: PlanLog, *payloads: bytes) -> None:
    head = await log.head(PLAN_ID)
    await log.append(PLAN_ID, "newer", head.offset + 1, [Entry(payload) for payload in payloads], Facts())


def folded(said: Sequence[PlanEvent | None]) -> Snapshot:
    return fold(empty(PLAN_ID), 1, said)


async def keep(log: PlanLog, snapshot: bytes, offset: int, window: int = EVERYTHING) -> None:
    head = await log.head(PLAN_ID)
    assert await log.keep_checkpoint(PLAN_ID, Checkpoint(Position(head.lineage.epoch, offset), snapshot), window)


# --- without interference


async def test_a_plan_without_events_is_empty(plans: Meddled) -> None:
    assert await snapshot_of(plans, PLAN_ID) == (empty(PLAN_ID), Head())
    assert await take_checkpoint(plans, PLAN_ID) is False
    assert await plans.checkpoint(PLAN_ID) is None


async def test_a_snapshot_folds_all_events_page_by_page(plans: Meddled) -> None:
    said = words(1_234)
    await tell(plans, said)
    snapshot, head = await snapshot_of(plans, PLAN_ID)
    assert snapshot == folded(said)
    assert head == await plans.head(PLAN_ID)
    assert head.position.offset == snapshot.offset == 1_234
    assert plans.reads == 3


async def test_a_checkpoint_and_later_events_give_the_same_snapshot(plans: Meddled) -> None:
    said = words(700)
    await tell(plans, said[:600])
    assert await take_checkpoint(plans, PLAN_ID, window=50) is True
    await tell(plans, said[600:])
    plans.reads = 0
    snapshot, head = await snapshot_of(plans, PLAN_ID)
    assert snapshot == folded(said)
    assert (head.floor, head.offset, plans.reads) == (550, 700, 1)


async def test_a_snapshot_of_the_past_is_folded_up_to_its_offset(plans: Meddled) -> None:
    said = words(1_234)
    await tell(plans, said)
    for offset in (1, 500, 501, 1_234):
        past = await snapshot_at(plans, PLAN_ID, offset)
        assert past == (folded(said[:offset]), Position((await plans.head(PLAN_ID)).lineage.epoch, offset))
    assert await snapshot_at(plans, PLAN_ID, 1_235) is None


async def test_a_snapshot_of_the_past_from_a_checkpoint_or_from_none(plans: Meddled) -> None:
    said = words(700)
    await tell(plans, said)
    assert await take_checkpoint(plans, PLAN_ID, window=700) is True
    assert await snapshot_at(plans, PLAN_ID, 600) is not None
    await tell(plans, more := words(50))
    assert await take_checkpoint(plans, PLAN_ID, window=10) is True
    assert await snapshot_at(plans, PLAN_ID, 745) is None
    past = await snapshot_at(plans, PLAN_ID, 750)
    assert past is not None
    assert past[0] == folded([*said, *more])


async def test_without_anything_new_no_checkpoint_is_taken(plans: Meddled) -> None:
    await tell(plans, words(10))
    assert await take_checkpoint(plans, PLAN_ID) is True
    assert await take_checkpoint(plans, PLAN_ID) is False


async def test_a_checkpoint_by_default_leaves_a_window(plans: Meddled) -> None:
    await tell(plans, words(20))
    assert await take_checkpoint(plans, PLAN_ID) is True
    assert (await plans.head(PLAN_ID)).floor == 0
    kept = await plans.checkpoint(PLAN_ID)
    assert kept
    assert kept.position == (await plans.head(PLAN_ID)).position


@settings(max_examples=15)
@given(st.lists(events, min_size=1, max_size=40), st.sets(st.integers(1, 40)), st.integers(0, 5))
def test_wherever_checkpoints_are_taken_the_snapshot_is_the_same(
    story: list[PlanEvent], marks: set[int], window: int
) -> None:
    async def tell_and_read() -> Snapshot:
        with tempfile.TemporaryDirectory() as folder:
            log = SqliteLog(f"sqlite:///{folder}/plans.db")
            await log.open()
            try:
                for number, event in enumerate(story, 1):
                    await tell(log, [event])
                    if number in marks:
                        assert await take_checkpoint(log, PLAN_ID, window)
                return (await snapshot_of(log, PLAN_ID))[0]
            finally:
                await log.close()

    assert asyncio.run(tell_and_read()) == folded(story)


# --- while other programs write


async def test_events_that_arrive_meanwhile_do_not_keep_the_reader(plans: Meddled) -> None:
    said = words(600)
    await tell(plans, said[:510])
    plans.meddling += [nothing, partial(tell, plans, said[510:])]
    snapshot, head = await snapshot_of(plans, PLAN_ID)
    assert snapshot == folded(said)
    assert head.offset == snapshot.offset
    more = words(5_000)
    plans.meddling += [partial(tell, plans, more[start : start + 500]) for start in range(0, 5_000, 500)]
    plans.reads = 0
    snapshot, head = await snapshot_of(plans, PLAN_ID)
    assert plans.reads == 3, "it reads on to where the log stood at first, not for ever"
    assert snapshot == folded([*said, *more][: snapshot.offset])
    assert 1_100 <= snapshot.offset == head.offset


async def test_trimmed_between_the_checkpoint_and_the_first_page(plans: Meddled) -> None:
    said = words(300)
    await tell(plans, said[:100])
    assert await take_checkpoint(plans, PLAN_ID, EVERYTHING)
    await tell(plans, said[100:])
    plans.meddling = [lambda: keep(plans, encode(folded(said[:200])), 200, window=0)]
    snapshot, head = await snapshot_of(plans, PLAN_ID)
    assert snapshot == folded(said)
    assert head.floor == 200


async def test_trimmed_between_two_pages(plans: Meddled) -> None:
    said = words(1_200)
    await tell(plans, said)
    plans.meddling = [nothing, lambda: keep(plans, encode(folded(said[:900])), 900, window=0)]
    snapshot, head = await snapshot_of(plans, PLAN_ID)
    assert snapshot == folded(said)
    assert head.floor == 900


@pytest.mark.parametrize("pages_before", [0, 1])
async def test_deleted_and_begun_again_between_two_reads(plans: Meddled, pages_before: int) -> None:
    await tell(plans, words(1_100))
    assert await take_checkpoint(plans, PLAN_ID, EVERYTHING)
    await tell(plans, words(600, of="old"))
    other = words(300, of="new")

    async def begin_again() -> None:
        assert await plans.delete(PLAN_ID)
        await tell(plans, other, producer="other")

    plans.meddling += [nothing] * pages_before + [begin_again]
    snapshot, head = await snapshot_of(plans, PLAN_ID)
    assert snapshot == folded(other)
    assert head == await plans.head(PLAN_ID)


async def test_deleted_between_two_reads(plans: Meddled) -> None:
    await tell(plans, words(600))
    plans.meddling = [nothing, lambda: plans.delete(PLAN_ID)]
    assert await snapshot_of(plans, PLAN_ID) == (empty(PLAN_ID), Head())


async def test_a_log_that_changes_on_every_read_is_unavailable(plans: Meddled) -> None:
    async def begin_again() -> None:
        await plans.delete(PLAN_ID)
        await tell(plans, words(600), producer=f"producer-{plans.reads}")
        await keep(plans, encode(folded(words(600)[:1])), 1, window=0)

    await begin_again()
    plans.meddling += [begin_again] * 100
    with pytest.raises(LogUnavailable):
        await snapshot_of(plans, PLAN_ID)
    assert plans.reads < 100


async def test_snapshots_and_checkpoints_while_events_are_appended(plans: Meddled) -> None:
    """One task appends 1,500 events, one takes checkpoints that trim everything, one reads snapshots."""
    said = words(1_500)
    told = asyncio.Event()
    seen: list[Snapshot] = []
    taken: list[bool] = []

    async def teller() -> None:
        for number in range(0, len(said), 15):
            await tell(plans, said[number : number + 15])
        told.set()

    async def checkpointer() -> None:
        while not told.is_set():
            taken.append(await take_checkpoint(plans, PLAN_ID, window=0))

    async def reader() -> None:
        while not told.is_set():
            snapshot, head = await snapshot_of(plans, PLAN_ID)
            assert snapshot.offset == head.offset
            seen.append(snapshot)

    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        for one in (teller, checkpointer, reader):
            group.create_task(one())
    assert any(taken)
    offsets = [snapshot.offset for snapshot in seen]
    assert offsets == sorted(offsets)
    assert all(snapshot == folded(said[: snapshot.offset]) for snapshot in seen[:: max(1, len(seen) // 20)])
    assert (await snapshot_of(plans, PLAN_ID))[0] == folded(said)


# --- the log's server is replaced by one with fewer events


@pytest_asyncio.fixture
async def forking() -> AsyncIterator[tuple[MeddledRedis, Callable[[], Awaitable[None]]]]:
    """A log in Redis with LONG, and a function that restarts its server with the first 700 events."""
    with RedisServer() as server:
        log = MeddledRedis(server.url)
        await log.open()
        await tell(log, LONG[:700])
        server.call("SAVE")
        await tell(log, LONG[700:])

        async def set_back() -> None:
            server.restart()
            async with asyncio.timeout(30):
                while await head_if_there(log) != 700:
                    pass  # the first try may still meet the old connection

        yield log, set_back
        await log.close()


LONG = words(1_100)


async def head_if_there(log: PlanLog) -> int | None:
    try:
        return (await log.head(PLAN_ID)).offset
    except LogUnavailable:
        return None


Forking = tuple[MeddledRedis, Callable[[], Awaitable[None]]]


@pytest.mark.parametrize("pages_before", [0, 1, 2])
@pytest.mark.parametrize("goes_on", [False, True])
async def test_the_log_is_set_back_between_two_reads(forking: Forking, pages_before: int, goes_on: bool) -> None:
    """Folding goes on if the events read so far survived, and starts again otherwise; with a new epoch or without."""
    log, set_back = forking
    other = words(10, of="other") if goes_on else []

    async def fork() -> None:
        await set_back()
        if goes_on:
            await tell(log, other, producer="other")

    log.meddling += [nothing] * pages_before + [fork]
    snapshot, head = await snapshot_of(log, PLAN_ID)
    assert snapshot == folded([*LONG[:700], *other][: snapshot.offset])
    assert snapshot.offset == head.offset >= 700
    assert (await snapshot_of(log, PLAN_ID))[0] == folded([*LONG[:700], *other])
    assert head.lineage == (await log.head(PLAN_ID)).lineage


async def test_a_checkpoint_of_what_did_not_survive_is_passed_over(forking: Forking) -> None:
    log, set_back = forking
    assert await take_checkpoint(log, PLAN_ID, EVERYTHING)
    log.meddling.append(set_back)
    snapshot, head = await snapshot_of(log, PLAN_ID)
    assert snapshot == folded(LONG[:700])
    assert (head.offset, log.reads) == (700, 6), "three pages to take it; one in vain, and two from the start"


# --- what can't be read

NEWER = b'{"version":2,"plan_id":"plan-1"}'
UNREADABLE = [
    pytest.param(b"rubbish", "damaged", id="damaged"),
    pytest.param(NEWER, "version 2", id="newer"),
    pytest.param(encode(empty("plan-2")), "plan-2", id="another plan's"),
    pytest.param(encode(empty(PLAN_ID)), "offset 0", id="of another place"),
]


@pytest.mark.parametrize(("data", "problem"), UNREADABLE)
async def test_while_the_log_has_everything_a_bad_checkpoint_does_no_harm(
    plans: Meddled, data: bytes, problem: str
) -> None:
    said = words(30)
    await tell(plans, said)
    await keep(plans, data, 20)
    snapshot, head = await snapshot_of(plans, PLAN_ID)
    assert (snapshot, head.offset) == (folded(said), 30)


@pytest.mark.parametrize(("data", "problem"), UNREADABLE)
async def test_a_bad_checkpoint_of_a_trimmed_log_has_a_clear_error(plans: Meddled, data: bytes, problem: str) -> None:
    await tell(plans, words(30))
    await keep(plans, data, 20, window=5)
    with pytest.raises(SnapshotUnreadable, match=rf"{problem}.*plan-1") as caught:
        await snapshot_of(plans, PLAN_ID)
    assert caught.value.newer == (data == NEWER)


async def test_a_good_checkpoint_replaces_a_damaged_one(plans: Meddled) -> None:
    said = words(30)
    await tell(plans, said)
    await keep(plans, b"rubbish", 20)
    assert await take_checkpoint(plans, PLAN_ID, window=0) is True
    assert (await snapshot_of(plans, PLAN_ID))[0] == folded(said)


async def test_a_damaged_one_of_a_trimmed_log_stays(plans: Meddled) -> None:
    await tell(plans, words(30))
    await keep(plans, b"rubbish", 20, window=0)
    with pytest.raises(SnapshotUnreadable):
        await take_checkpoint(plans, PLAN_ID)


@pytest.mark.parametrize("window", [0, EVERYTHING])
async def test_newer_codes_checkpoint_is_left_to_newer_code(plans: Meddled, window: int) -> None:
    await tell(plans, words(30))
    await keep(plans, NEWER, 20, window)
    assert await take_checkpoint(plans, PLAN_ID) is False
    kept = await plans.checkpoint(PLAN_ID)
    assert kept
    assert kept.snapshot == NEWER


RIDDLES = [
    b'{"type":"mood","id":"1","data":{}}',
    b'{"type":"plan_update","id":"1","data":{"plan_id":"plan-1","status":"paused"}}',
]


@pytest.mark.parametrize("riddle", RIDDLES)
async def test_events_of_newer_code_hide_nothing_and_are_not_trimmed(
    plans: Meddled, riddle: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = words(20)
    await tell(plans, said)
    await tell_raw(plans, riddle)
    await tell(plans, said)
    snapshot, _ = await snapshot_of(plans, PLAN_ID)
    assert snapshot == folded([*said, None, *said])
    assert await take_checkpoint(plans, PLAN_ID, window=0) is False
    monkeypatch.setattr(checkpointing, "PATIENCE", 41)
    assert await take_checkpoint(plans, PLAN_ID, window=0) is True, "no newer code came: the log must not grow for ever"
    assert (await snapshot_of(plans, PLAN_ID))[0] == snapshot


def test_riddles_are_riddles() -> None:
    assert parse(RIDDLES[0]) is None
    with pytest.raises(ValueError, match="status"):
        parse(RIDDLES[1])
