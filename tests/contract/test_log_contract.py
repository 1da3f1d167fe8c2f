"""Every log keeps the promises of broadcasters/log/contract.py; each test names the promise it checks."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest

from broadcasters.errors import InvalidPlanId, LogUnavailable
from broadcasters.log import log_of
from broadcasters.log.contract import CHECKPOINT_EVERY, MAX_APPEND_EVENTS, Head, PlanLog
from broadcasters.position import Position
from tests.contract.clients import Producer, RecordingWatcher, all_of, checkpoint_at, entry_of, next_tick, texts_of
from tests.contract.conftest import OpenLog

# --- L1 order, L2 one step


async def test_l1_offsets_count_from_one_without_holes(log: PlanLog) -> None:
    producer = Producer("plan-1")
    offsets = [list((await producer.batch(*texts).to(log)).offsets) for texts in (["a"], ["b", "c"], ["d"])]
    assert offsets == [[1], [2, 3], [4]]
    assert await all_of(log, "plan-1") == ["a", "b", "c", "d"]


async def test_l1_plans_count_each_for_itself(log: PlanLog) -> None:
    await Producer("plan-1").batch("a", "b").to(log)
    assert list((await Producer("plan-2").batch("c").to(log)).offsets) == [1]
    assert await all_of(log, "plan-1") == ["a", "b"]
    assert await all_of(log, "plan-2") == ["c"]


async def test_l1_events_of_one_append_are_neighbours_among_many_appends_at_once(open_log: OpenLog) -> None:
    logs = [await open_log(), await open_log()]
    producers = [Producer("plan-1", f"producer-{i}") for i in range(16)]

    async def say(i: int, producer: Producer) -> None:
        for round_ in range(4):
            batch = producer.batch(*[f"{i}/{round_}/{j}" for j in range(5)])
            offsets = list((await batch.to(logs[i % 2])).offsets)
            assert offsets == list(range(offsets[0], offsets[0] + 5))

    await asyncio.gather(*[say(i, producer) for i, producer in enumerate(producers)])
    story = await all_of(logs[0], "plan-1")
    assert len(set(story)) == len(story) == 16 * 4 * 5
    for at in range(0, len(story), 5):
        start = story[at].removesuffix("0")
        assert story[at : at + 5] == [f"{start}{j}" for j in range(5)]
    for i in range(16):
        own = [text for text in story if text.startswith(f"{i}/")]
        assert own == [f"{i}/{round_}/{j}" for round_ in range(4) for j in range(5)]


async def test_l1_an_append_has_as_many_events_as_allowed(log: PlanLog) -> None:
    texts = [str(i) for i in range(MAX_APPEND_EVENTS)]
    appended = await Producer("plan-1").batch(*texts).to(log)
    assert list(appended.offsets) == list(range(1, MAX_APPEND_EVENTS + 1))
    assert await all_of(log, "plan-1") == texts


async def test_l1_payloads_come_back_byte_for_byte(log: PlanLog) -> None:
    entries = [
        entry_of("plan-1", text) for text in ('quotes " and \\', "Zürich, 東京, 🚂", "line\nbreak\0null", "x" * 200_000)
    ]
    await log.append("plan-1", "producer-1", 1, entries, Producer("plan-1").batch("").facts)
    assert list((await log.read("plan-1", 0)).payloads) == [entry.payload for entry in entries]


async def test_l2_an_append_is_stored_whole_or_not_at_all(open_log: OpenLog) -> None:
    writer, reader = await open_log(), await open_log()
    producer = Producer("plan-1")

    async def say() -> None:
        for round_ in range(20):
            await producer.batch(*[f"{round_}/{i}" for i in range(50)]).to(writer)

    saying = asyncio.create_task(say())
    seen = set[int]()
    while not saying.done():
        seen.add((await reader.head("plan-1")).offset)
    await saying
    assert {offset % 50 for offset in seen} == {0}
    assert len(seen) > 1


# --- L3 once


async def test_l3_a_repeated_append_answers_the_first_offsets_and_stores_nothing(log: PlanLog) -> None:
    producer = Producer("plan-1")
    batch = producer.batch("a", "b")
    first = await batch.to(log)
    await Producer("plan-1", "another").batch("between").to(log)
    again = await batch.to(log)
    assert (again.epoch, list(again.offsets)) == (first.epoch, [1, 2])
    assert await all_of(log, "plan-1") == ["a", "b", "between"]


async def test_l3_a_repetition_is_known_on_another_connection_and_after_a_restart(open_log: OpenLog) -> None:
    first, other = await open_log(), await open_log()
    batch = Producer("plan-1").batch("a", "b")
    await batch.to(first)
    assert list((await batch.to(other)).offsets) == [1, 2]
    await first.close()
    await other.close()
    assert list((await batch.to(await open_log())).offsets) == [1, 2]


async def test_l3_a_repetition_with_more_entries_stores_only_the_new_ones(log: PlanLog) -> None:
    batch = Producer("plan-1").batch("a", "b")
    await batch.to(log)
    await Producer("plan-1", "another").batch("between").to(log)
    longer = batch.with_more("c", "d")
    assert list((await longer.to(log)).offsets) == [1, 2, 4, 5]
    assert list((await longer.to(log)).offsets) == [1, 2, 4, 5]
    assert list((await longer.with_more("e").to(log)).offsets) == [1, 2, 4, 5, 6]
    assert await all_of(log, "plan-1") == ["a", "b", "between", "c", "d", "e"]


async def test_l3_the_same_append_twice_at_once_is_stored_once(open_log: OpenLog) -> None:
    logs = [await open_log(), await open_log()]
    batch = Producer("plan-1").batch("a", "b")
    answers = await asyncio.gather(*[batch.to(log) for log in (*logs, *logs)])
    assert [list(answer.offsets) for answer in answers] == [[1, 2]] * 4
    assert await all_of(logs[0], "plan-1") == ["a", "b"]


async def test_l3_what_comes_late_from_before_the_last_append_is_not_stored(log: PlanLog) -> None:
    producer = Producer("plan-1")
    late, between, last = producer.batch("a", "b"), producer.batch("c"), producer.batch("d")
    for batch in (late, between, last):
        await batch.to(log)
    assert list((await late.to(log)).offsets) == [0, 0]
    assert list((await between.with_more("d").to(log)).offsets) == [0, 4]
    assert await all_of(log, "plan-1") == ["a", "b", "c", "d"]
    assert list((await last.to(log)).offsets) == [4]


async def test_l3_nor_when_the_entries_of_the_last_append_are_no_neighbours(open_log: OpenLog) -> None:
    log = await open_log()
    await Producer("plan-1", "x").batch("a", keys=["key"]).to(log)
    producer = Producer("plan-1", "y")
    late, last = producer.batch("b", "c"), producer.batch("d", "a again", "e", keys=[None, "key", None])
    await late.to(log)
    await last.to(log)
    assert list((await late.to(log)).offsets) == [0, 0]
    assert await all_of(log, "plan-1") == ["a", "b", "c", "d", "e"]
    assert list((await last.to(await open_log())).offsets) == [4, 1, 5]


async def test_l3_each_plan_and_each_producer_has_a_count_of_its_own(log: PlanLog) -> None:
    for plan_id, name in (("plan-1", "x"), ("plan-2", "x"), ("plan-1", "y")):
        await Producer(plan_id, name).batch(f"{plan_id} {name}").to(log)
    assert await all_of(log, "plan-1") == ["plan-1 x", "plan-1 y"]
    assert await all_of(log, "plan-2") == ["plan-2 x"]


async def test_l3_a_producer_may_leave_numbers_out(log: PlanLog) -> None:
    producer = Producer("plan-1")
    await producer.batch("a").to(log)
    producer.batch("given up")
    assert list((await producer.batch("c").to(log)).offsets) == [2]


async def test_l3_a_key_is_stored_once_from_any_sender(log: PlanLog) -> None:
    await Producer("plan-1", "x").batch("a", "b", keys=[None, "key-b"]).to(log)
    other = Producer("plan-1", "y").batch("c", "b again", "d", keys=[None, "key-b", "key-d"])
    assert list((await other.to(log)).offsets) == [3, 2, 4]
    assert list((await other.to(log)).offsets) == [3, 2, 4]
    assert list((await other.with_more("e").to(log)).offsets) == [3, 2, 4, 5]
    assert await all_of(log, "plan-1") == ["a", "b", "c", "d", "e"]


async def test_l3_a_key_used_twice_in_one_append_is_stored_once(log: PlanLog) -> None:
    appended = await Producer("plan-1").batch("a", "a again", "b", keys=["key", "key", None]).to(log)
    assert list(appended.offsets) == [1, 1, 2]
    assert await all_of(log, "plan-1") == ["a", "b"]


async def test_l3_nothing_is_stored_when_all_keys_are_known(log: PlanLog) -> None:
    await Producer("plan-1", "x").batch("a", keys=["key"]).to(log)
    assert list((await Producer("plan-1", "y").batch("a again", keys=["key"]).to(log)).offsets) == [1]
    assert (await log.head("plan-1")).offset == 1


async def test_l3_keys_belong_to_their_plan(log: PlanLog) -> None:
    await Producer("plan-1").batch("a", keys=["key"]).to(log)
    await Producer("plan-2").batch("b", keys=["key"]).to(log)
    assert await all_of(log, "plan-2") == ["b"]


# --- L4 kept


async def test_l4_what_was_appended_is_there_for_the_next_program(open_log: OpenLog) -> None:
    log = await open_log()
    producer = Producer("plan-1")
    before = await producer.batch("a", "b").to(log)
    assert log.durability in {"memory", "second", "disk", "replicated"}
    await log.close()
    later = await open_log()
    assert await all_of(later, "plan-1") == ["a", "b"]
    after = await producer.batch("c").to(later)
    assert (after.epoch, list(after.offsets)) == (before.epoch, [3])


# --- L5 read


async def test_l5_a_page_has_its_first_offset_and_the_head(log: PlanLog) -> None:
    appended = await Producer("plan-1").batch(*"abcde").to(log)
    page = await log.read("plan-1", 2, limit=2)
    assert (page.first, texts_of(page.payloads)) == (3, ["c", "d"])
    assert page.head.position == Position(appended.epoch, 5)
    assert page.head.floor == 0


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 1000])
async def test_l5_pages_of_any_size_have_the_same_events(log: PlanLog, limit: int) -> None:
    await Producer("plan-1").batch(*"abcdefg").to(log)
    for after in range(8):
        assert await all_of(log, "plan-1", after, limit) == list("abcdefg")[after:]


async def test_l5_a_page_is_bounded_in_bytes_but_never_empty_while_there_is_more(log: PlanLog) -> None:
    await Producer("plan-1").batch("x" * 3000, "y" * 3000, "z" * 3000).to(log)
    assert len((await log.read("plan-1", 0, max_bytes=1)).payloads) == 1
    assert len((await log.read("plan-1", 0, max_bytes=7000)).payloads) == 2
    assert len((await log.read("plan-1", 2, max_bytes=1)).payloads) == 1


async def test_l5_after_the_head_there_is_nothing(log: PlanLog) -> None:
    await Producer("plan-1").batch("a", "b").to(log)
    for after in (2, 3, 1000):
        page = await log.read("plan-1", after)
        assert list(page.payloads) == []
        assert page.head.offset == 2


# --- L7 lineage


async def test_l7_a_plan_begun_again_has_a_lineage_that_contains_no_older_epoch(log: PlanLog) -> None:
    before = await Producer("plan-1").batch("a", "b").to(log)
    assert await log.delete("plan-1") is True
    after = await Producer("plan-1", "producer-2").batch("c").to(log)
    head = await log.head("plan-1")
    assert list(after.offsets) == [1]
    assert after.epoch == head.lineage.epoch != before.epoch
    assert head.lineage.continuity(Position(before.epoch, 1), head.offset, head.floor) == "epoch"
    assert await all_of(log, "plan-1") == ["c"]


async def test_l7_nothing_of_a_deleted_plan_is_left(log: PlanLog) -> None:
    batch = Producer("plan-1").batch("a", keys=["key"])
    appended = await batch.to(log)
    await log.keep_checkpoint("plan-1", checkpoint_at("plan-1", Position(appended.epoch, 1)), 0)
    assert await log.delete("plan-1") is True
    assert await log.delete("plan-1") is False
    assert await log.head("plan-1") == Head()
    assert await log.checkpoint("plan-1") is None
    assert list((await log.plans()).plans) == []
    assert list((await batch.to(log)).offsets) == [1]
    assert await all_of(log, "plan-1") == ["a"]


async def test_l7_every_position_since_the_beginning_continues(log: PlanLog) -> None:
    producer = Producer("plan-1")
    places = [Position((await producer.batch(text).to(log)).epoch, at) for at, text in enumerate("abc", 1)]
    head = await log.head("plan-1")
    assert {head.lineage.continuity(place, head.offset, head.floor) for place in places} == {"ok"}
    assert head.lineage.continuity(Position(head.lineage.epoch, 4), head.offset, head.floor) == "ahead"


# --- L8 bounded


async def checkpointed(log: PlanLog, offset: int, window: int) -> bool:
    epoch = (await log.head("plan-1")).lineage.epoch
    return await log.keep_checkpoint("plan-1", checkpoint_at("plan-1", Position(epoch, offset)), window)


async def test_l8_the_newest_checkpoint_wins(open_log: OpenLog) -> None:
    log, other = await open_log(), await open_log()
    await Producer("plan-1").batch(*"abcde").to(log)
    assert await log.checkpoint("plan-1") is None
    assert await checkpointed(log, 3, 100) is True
    assert await checkpointed(log, 2, 100) is False
    epoch = (await log.head("plan-1")).lineage.epoch
    assert await other.checkpoint("plan-1") == checkpoint_at("plan-1", Position(epoch, 3))
    assert await checkpointed(other, 5, 100) is True
    assert await log.checkpoint("plan-1") == checkpoint_at("plan-1", Position(epoch, 5))


async def test_l8_a_checkpoint_outside_the_lineage_is_refused(log: PlanLog) -> None:
    appended = await Producer("plan-1").batch("a", "b").to(log)
    for place in (Position("ffffffff", 1), Position(appended.epoch, 3)):
        assert await log.keep_checkpoint("plan-1", checkpoint_at("plan-1", place), 0) is False
    assert await log.checkpoint("plan-1") is None
    assert await all_of(log, "plan-1") == ["a", "b"]


async def test_l8_only_what_a_checkpoint_covers_is_trimmed(log: PlanLog) -> None:
    producer = Producer("plan-1")
    await producer.batch(*"abcdefghij").to(log)
    assert await checkpointed(log, 6, window=2) is True
    head = await log.head("plan-1")
    assert head.offset == 10
    assert head.floor <= 4
    page = await log.read("plan-1", head.floor)
    assert (page.first, texts_of(page.payloads)) == (head.floor + 1, list("abcdefghij")[head.floor :])
    assert list((await producer.batch("k").to(log)).offsets) == [11]


async def test_l8_trimming_moves_the_floor_and_a_read_from_below_it_begins_there(log: PlanLog) -> None:
    producer = Producer("plan-1")
    for _ in range(4):
        await producer.batch(*[str(producer.seq + i) for i in range(250)]).to(log)
    assert await checkpointed(log, 1000, window=100) is True
    page = await log.read("plan-1", 0, limit=5)
    assert 0 < page.head.floor <= 900
    assert page.first == page.head.floor + 1
    assert texts_of(page.payloads) == [str(page.first + i) for i in range(5)]
    assert page.head.lineage.continuity(Position(page.head.lineage.epoch, 1), 1000, page.head.floor) == "trimmed"


async def test_l8_everything_may_be_trimmed_and_counting_goes_on(open_log: OpenLog) -> None:
    log = await open_log()
    producer = Producer("plan-1")
    last = producer.batch(*"abcdef")
    await last.to(log)
    assert await checkpointed(log, 6, window=0) is True
    assert list((await last.to(log)).offsets) == [1, 2, 3, 4, 5, 6]  # L3 holds for what was trimmed
    await log.close()
    later = await open_log()
    assert list((await producer.batch("g").to(later)).offsets) == [7]
    assert (await all_of(later, "plan-1"))[-1] == "g"


async def test_l8_an_append_reports_when_a_checkpoint_is_due(log: PlanLog) -> None:
    producer = Producer("plan-1")
    half = CHECKPOINT_EVERY // 2
    due = [(await producer.batch(*["x"] * half).to(log)).checkpoint_due for _ in range(2)]
    assert due == [False, True]
    assert await checkpointed(log, CHECKPOINT_EVERY, window=CHECKPOINT_EVERY) is True
    known = producer.batch("y", keys=["key"])
    assert [(await known.to(log)).checkpoint_due for _ in range(2)] == [False, False]
    assert (await producer.batch(*["z"] * half).to(log)).checkpoint_due is False
    assert (await producer.batch(*["z"] * half).to(log)).checkpoint_due is True


# --- L9 index


async def listed(log: PlanLog, owner: str | None = None, label: str | None = None, limit: int = 50) -> list[str]:
    found, cursor = list[str](), None
    while True:
        page = await log.plans(owner=owner, label=label, cursor=cursor, limit=limit)
        found += [plan.plan_id for plan in page.plans]
        cursor = page.cursor
        if cursor is None:
            return found


async def test_l9_plans_are_found_by_owner_by_label_and_all_of_them(log: PlanLog) -> None:
    for plan_id, owner, labels in (
        ("a", "ann", ["x"]),
        ("b", "bob", ["x", "y"]),
        ("c", "ann", None),
        ("d", None, ["y"]),
    ):
        await Producer(plan_id).update(owner=owner, labels=labels).to(log)
    assert sorted(await listed(log)) == ["a", "b", "c", "d"]
    assert sorted(await listed(log, owner="ann")) == ["a", "c"]
    assert sorted(await listed(log, label="x")) == ["a", "b"]
    assert sorted(await listed(log, label="y")) == ["b", "d"]
    assert await listed(log, owner="nobody") == await listed(log, label="nothing") == []


async def test_l9_the_last_active_comes_first(log: PlanLog) -> None:
    producers = {name: Producer(name) for name in "abc"}
    for name in "abcab":
        await producers[name].update(owner="ann", labels=["x", "x"]).to(log)
        await next_tick()
    assert await listed(log) == ["b", "a", "c"]
    assert await listed(log, owner="ann") == ["b", "a", "c"]
    assert await listed(log, label="x") == ["b", "a", "c"]


async def test_l9_a_list_continues_after_its_cursor_and_shows_no_plan_twice(log: PlanLog) -> None:
    producers = {f"plan-{i}": Producer(f"plan-{i}") for i in range(7)}
    for producer in producers.values():
        await producer.update(owner="ann").to(log)
        await next_tick()
    assert sorted(await listed(log, limit=3)) == sorted(producers)
    first = await log.plans(owner="ann", limit=3)
    assert [plan.plan_id for plan in first.plans] == ["plan-6", "plan-5", "plan-4"]
    await producers["plan-5"].batch("active again").to(log)
    second = await log.plans(owner="ann", limit=3, cursor=first.cursor)
    assert [plan.plan_id for plan in second.plans] == ["plan-3", "plan-2", "plan-1"]
    third = await log.plans(owner="ann", limit=3, cursor=second.cursor)
    assert [plan.plan_id for plan in third.plans] == ["plan-0"]
    assert third.cursor is None


async def test_l9_a_plan_is_listed_as_soon_as_its_first_append_returns(open_log: OpenLog) -> None:
    log, other = await open_log(), await open_log()
    for i in range(5):
        await Producer(f"plan-{i}").update(owner="ann", labels=["x"]).to(log)
        assert f"plan-{i}" in await listed(other)
        assert f"plan-{i}" in await listed(other, owner="ann")
        assert f"plan-{i}" in await listed(other, label="x")


async def test_l9_a_plan_is_listed_with_its_latest_facts(log: PlanLog) -> None:
    producer = Producer("plan-1")
    await producer.update(title="Trip", owner="ann", labels=["x", "y"], progress=10.0).to(log)
    [plan] = (await log.plans()).plans
    assert (plan.status, plan.title, plan.progress, plan.owner) == ("in_progress", "Trip", 10.0, "ann")
    assert sorted(plan.labels) == ["x", "y"]
    assert plan.ended is False
    last = await producer.update(status="completed", labels=["y", "z"]).to(log)
    [done] = (await log.plans()).plans
    assert (done.status, done.title, done.progress, done.owner) == ("completed", "Trip", 100.0, "ann")
    assert sorted(done.labels) == ["y", "z"]
    assert done.head == Position(last.epoch, 2)
    assert done.ended is True
    assert done.created_at == plan.created_at <= plan.updated_at <= done.updated_at
    assert await listed(log, label="x") == []
    assert await listed(log, label="z") == ["plan-1"]


async def test_l9_a_first_status_counts_only_while_there_is_none(log: PlanLog) -> None:
    producer = Producer("plan-1")
    await producer.batch("hello").to(log)
    assert [plan.status for plan in (await log.plans()).plans] == ["in_progress"]
    await producer.update(status="completed").to(log)
    await producer.batch("a last word").to(log)
    await producer.batch("one more", keys=["key"]).to(log)
    assert [plan.status for plan in (await log.plans()).plans] == ["completed"]


async def test_l9_a_repeated_append_does_not_restore_its_facts(log: PlanLog) -> None:
    first = Producer("plan-1", "x").update(status="in_progress", title="Old")
    await first.to(log)
    await Producer("plan-1", "y").update(status="completed", title="New").to(log)
    await first.to(log)
    [plan] = (await log.plans()).plans
    assert (plan.status, plan.title) == ("completed", "New")


# --- L10 reading creates nothing


async def test_l10_a_plan_without_events_is_at_zero_and_is_not_created_by_reading(log: PlanLog) -> None:
    page = await log.read("plan-1", 0)
    assert (page.head, page.first, list(page.payloads)) == (Head(), 1, [])
    assert await log.heads(["plan-1", "plan-2"]) == {"plan-1": Head(), "plan-2": Head()}
    assert await log.checkpoint("plan-1") is None
    assert await log.keep_checkpoint("plan-1", checkpoint_at("plan-1", Position("ffffffff", 1)), 0) is False
    assert await log.delete("plan-1") is False
    await (await log.watch("plan-1", RecordingWatcher())).close()
    assert list((await log.plans()).plans) == []
    assert await log.head("plan-1") == Head()


async def test_l10_heads_of_many_plans_in_one_trip(log: PlanLog) -> None:
    epochs = {f"plan-{i}": (await Producer(f"plan-{i}").batch(*"abc"[: i + 1]).to(log)).epoch for i in range(3)}
    heads = await log.heads(["plan-0", "plan-1", "plan-2", "none"])
    assert {plan_id: heads[plan_id].position for plan_id in epochs} == {
        plan_id: Position(epoch, i + 1) for i, (plan_id, epoch) in enumerate(epochs.items())
    }
    assert heads["none"] == Head()
    assert await log.heads([]) == {}


# --- L11 errors


@pytest.mark.parametrize("plan_id", ["", "a b", "a/b", "a{b}", "é", "x" * 129, "a\n", "*"])
async def test_l11_a_plan_id_is_checked_before_anything_is_sent(log: PlanLog, plan_id: str) -> None:
    batch = dataclasses.replace(Producer("plan-1").batch("a"), plan_id=plan_id)
    checkpoint = checkpoint_at("plan-1", Position("ffffffff", 1))
    for call in (
        batch.to(log),
        log.read(plan_id, 0),
        log.heads([plan_id]),
        log.watch(plan_id, RecordingWatcher()),
        log.checkpoint(plan_id),
        log.keep_checkpoint(plan_id, checkpoint, 0),
        log.delete(plan_id),
    ):
        with pytest.raises(InvalidPlanId):
            await call
    assert list((await log.plans()).plans) == []


async def test_l11_a_closed_log_is_unavailable(open_log: OpenLog) -> None:
    log = await open_log()
    await log.close()
    for call in (
        Producer("plan-1").batch("a").to(log),
        log.read("plan-1", 0),
        log.heads(["plan-1"]),
        log.watch("plan-1", RecordingWatcher()),
        log.checkpoint("plan-1"),
        log.delete("plan-1"),
        log.plans(),
    ):
        with pytest.raises(LogUnavailable):
            await call
    await log.close()


async def test_l11_a_log_that_was_never_opened_is_unavailable(log_url: str) -> None:
    with pytest.raises(LogUnavailable):
        await log_of(log_url).read("plan-1", 0)


async def test_l11_an_append_given_up_by_its_sender_affects_no_other(log: PlanLog) -> None:
    producer = Producer("plan-1")
    batch = producer.batch("a")
    given_up = asyncio.create_task(batch.to(log))
    await asyncio.sleep(0)
    given_up.cancel()
    with pytest.raises(asyncio.CancelledError):
        await given_up
    assert list((await batch.to(log)).offsets) == [1]
    assert list((await producer.batch("b").to(log)).offsets) == [2]
