"""L1, L3, L5, L6 and L8 under any interleaving of many producers, with lost replies."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import dataclass, field

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from broadcasters.log.contract import PlanLog
from broadcasters.position import Position
from tests.contract.clients import Batch, Producer, RecordingWatcher, all_of, checkpoint_at, texts_of
from tests.contract.conftest import OpenLog

PRODUCERS = 8
PLANS = 2

stories = settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


@dataclass(frozen=True, slots=True)
class Step:
    """A producer appends events with these keys to a plan, and the reply arrives or is lost."""

    producer: int
    plan: int
    keys: list[str | None]
    reply: (
        str  # "more meanwhile": lost, and repeated with more entries; "older comes late": an older append arrives late
    )


steps = st.builds(
    Step,
    producer=st.integers(0, PRODUCERS - 1),
    plan=st.integers(0, PLANS - 1),
    keys=st.lists(st.sampled_from([None, None, None, "key-1", "key-2"]), min_size=1, max_size=5),
    reply=st.sampled_from(["arrives", "arrives", "lost", "lost twice", "more meanwhile", "older comes late"]),
)


@dataclass(slots=True)
class Appends:
    """The appends of a producer to a plan, and the offsets of its entries."""

    producer: Producer
    batches: list[Batch] = field(default_factory=list)
    answers: list[tuple[str, str | None, int]] = field(default_factory=list)  # text, key, offset

    async def take(self, log: PlanLog, step: Step) -> None:
        batch = self.producer.batch(*self._texts(len(step.keys)), keys=step.keys)
        offsets = list((await batch.to(log)).offsets)
        if step.reply.startswith("lost"):
            for _ in step.reply.split():
                assert list((await batch.to(log)).offsets) == offsets
        elif step.reply == "more meanwhile":
            longer = batch.with_more(*self._texts(2, after=len(step.keys)))
            self.producer.seq += 2
            answered = list((await longer.to(log)).offsets)
            assert answered[: len(offsets)] == offsets
            batch, offsets = longer, answered
        elif step.reply == "older comes late" and self.batches:
            await self.batches[0].to(log)
        self.batches.append(batch)
        texts = texts_of([entry.payload for entry in batch.entries])
        keys = [entry.key for entry in batch.entries]
        self.answers += zip(texts, keys, offsets, strict=True)

    def _texts(self, count: int, after: int = 0) -> list[str]:
        start = len(self.answers) + after
        return [f"{self.producer.name}/{start + i}" for i in range(count)]


class Stories:
    """Plans that many producers append to at once; each producer sends one append after the other."""

    def __init__(self) -> None:
        run = uuid.uuid4().hex[:8]
        self.plans = [f"{run}-{i}" for i in range(PLANS)]
        self.received = {plan_id: RecordingWatcher() for plan_id in self.plans}
        self.told = {
            (producer, plan): Appends(Producer(plan_id, f"p{producer}"))
            for producer in range(PRODUCERS)
            for plan, plan_id in enumerate(self.plans)
        }

    async def watch(self, log: PlanLog) -> None:
        for plan_id, received in self.received.items():
            await log.watch(plan_id, received)

    async def tell(self, logs: list[PlanLog], script: list[Step]) -> None:
        async def of_one(producer: int) -> None:
            for step in script:
                if step.producer == producer:
                    await self.told[producer, step.plan].take(logs[producer % len(logs)], step)

        await asyncio.gather(*[of_one(producer) for producer in range(PRODUCERS)])

    def check(self, plan: int, story: list[str]) -> None:
        """Check that offsets are 1..n without gap or duplicate, answers are right, and each producer's order is kept."""
        told = [one for (_, of), one in self.told.items() if of == plan]
        by_key: dict[str, set[int]] = {}
        unkeyed: list[int] = []
        for one in told:
            for text, key, offset in one.answers:
                if key is None:
                    assert story[offset - 1] == text
                    unkeyed.append(offset)
                else:
                    by_key.setdefault(key, set()).add(offset)
            own = [offset for _, key, offset in one.answers if key is None]
            assert own == sorted(own)
        assert all(len(offsets) == 1 for offsets in by_key.values())
        keyed = [offset for offsets in by_key.values() for offset in offsets]
        assert sorted(unkeyed + keyed) == list(range(1, len(story) + 1))


@stories
@given(script=st.lists(steps, min_size=1, max_size=40))
async def test_l1_l3_l6_many_producers_append_in_one_order_whatever_replies_are_lost(
    log: PlanLog, script: list[Step]
) -> None:
    stories_ = Stories()
    await stories_.watch(log)
    await stories_.tell([log], script)
    for plan, plan_id in enumerate(stories_.plans):
        story = await all_of(log, plan_id)
        stories_.check(plan, story)
        received = stories_.received[plan_id]
        if story:
            await received.until_offset(len(story))
        assert received.words == []
        assert received.offsets == list(range(1, len(story) + 1))
        assert received.story == story


@stories
@given(script=st.lists(steps, min_size=1, max_size=30))
async def test_l1_l3_the_same_through_two_programs_at_once(open_log: OpenLog, script: list[Step]) -> None:
    logs = [await open_log(), await open_log()]
    stories_ = Stories()
    await stories_.tell(logs, script)
    for plan, plan_id in enumerate(stories_.plans):
        story = await all_of(logs[0], plan_id)
        stories_.check(plan, story)
        assert await all_of(logs[1], plan_id) == story
    for log in logs:
        await log.close()


@stories
@given(
    sizes=st.lists(st.integers(1, 20), min_size=1, max_size=8),
    reads=st.lists(
        st.tuples(st.integers(0, 170), st.integers(1, 60), st.sampled_from([1, 400, 3000, 1024 * 1024])), max_size=6
    ),
)
async def test_l5_reads_from_any_offset_of_any_size_have_the_same_events(
    log: PlanLog, sizes: list[int], reads: list[tuple[int, int, int]]
) -> None:
    producer = Producer(f"plan-{uuid.uuid4().hex[:8]}")
    story = [str(i) for i in range(sum(sizes))]
    for size in sizes:
        await producer.batch(*story[producer.seq - 1 : producer.seq - 1 + size]).to(log)
    for after, limit, max_bytes in reads:
        told: list[str] = []
        at = after
        while at < len(story):
            page = await log.read(producer.plan_id, at, limit, max_bytes)
            assert page.first == at + 1
            assert 1 <= len(page.payloads) <= limit
            told += texts_of(page.payloads)
            at += len(page.payloads)
        assert told == story[after:]


@dataclass(frozen=True, slots=True)
class Keep:
    """A checkpoint so many events before the head, with this window."""

    behind: int
    window: int


@stories
@given(script=st.lists(st.integers(1, 120) | st.builds(Keep, st.integers(-3, 150), st.integers(0, 80)), max_size=15))
async def test_l8_checkpoint_and_tail_are_always_complete(log: PlanLog, script: list[int | Keep]) -> None:
    producer = Producer(f"plan-{uuid.uuid4().hex[:8]}")
    story: list[str] = []
    kept, epoch, asked = 0, "", 0
    for step in script:
        if isinstance(step, int):
            more = [str(len(story) + i) for i in range(step)]
            story += more
            epoch = (await producer.batch(*more).to(log)).epoch
        elif story:
            offset = len(story) - step.behind
            checkpoint = checkpoint_at(producer.plan_id, Position(epoch, max(offset, 1)))
            took = await log.keep_checkpoint(producer.plan_id, checkpoint, step.window)
            assert took == (kept <= checkpoint.position.offset <= len(story))
            if took:
                kept, asked = checkpoint.position.offset, max(asked, checkpoint.position.offset - step.window)
        newest = await log.checkpoint(producer.plan_id)
        head = await log.head(producer.plan_id)
        assert (newest.position.offset if newest else 0) == kept
        assert head.floor <= asked <= kept
        assert await all_of(log, producer.plan_id, head.floor) == story[head.floor :]
        assert head.offset == len(story)
